"""A rented pod, from the request to the bill: rent, boot, hand over, follow, fetch, release, receipt."""
