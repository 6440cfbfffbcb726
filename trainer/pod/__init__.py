"""What runs in a rented pod around the training: supervisor, deadlines, inbox, deletion."""
