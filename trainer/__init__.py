"""The trainer: rows of chat in, a LoRA adapter with its proof out. ``python -m trainer --help``."""
