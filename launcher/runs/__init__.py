"""A run's folder: its journal, its state, its log, and what must be unchanged when it is resumed."""
