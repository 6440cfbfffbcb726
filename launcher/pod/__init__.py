"""What a rented pod does for a run: start, connection, upload, training, download."""
