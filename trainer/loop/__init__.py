"""The training loop: TRL's trainer on packed rows, its callbacks and its self-test."""
