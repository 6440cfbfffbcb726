"""What several processes of one training do together."""
