"""Attention over packed rows, and the proofs that it equals the model's own."""
