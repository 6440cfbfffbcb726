"""What every command of the three packages does alike: errors, settings, secrets, streams."""
