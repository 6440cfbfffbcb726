"""The trainer: makes a LoRA adapter and its proof from rows of chat. ``python -m trainer --help``."""
