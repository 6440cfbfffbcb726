"""Attention over packed rows, and the proofs that it is the model's own."""
