"""How much memory and time a training takes, and what fits a card or a CPU."""
