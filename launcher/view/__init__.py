"""What a person or a program sees of a run while it runs: plain lines, JSON, or a live picture."""
