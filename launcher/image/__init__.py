"""The image that pods run: its recipe and hash, building and pushing."""
