"""How a model is scored: it answers held-out questions, and the results are counted and compared."""
