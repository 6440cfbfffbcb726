"""A rented pod, in order: offer, rent, boot, upload, follow, fetch, delete, receipt; guard and reap."""
