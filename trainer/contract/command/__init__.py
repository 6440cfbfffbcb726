"""What the commands of all three packages share: errors, settings, secrets, streams."""
