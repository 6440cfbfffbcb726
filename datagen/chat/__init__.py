"""A chat with a base and its adapter in the terminal."""
