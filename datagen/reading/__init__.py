"""How a CSV's bytes become a frame: what is inferred, and one way to apply it."""
