"""The training loop: TRL's trainer with our rows, and what is reported on the way."""
