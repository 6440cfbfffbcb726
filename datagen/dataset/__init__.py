"""What is done with a file of episodes: split, export, card and quality page, import."""
