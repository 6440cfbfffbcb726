"""CSV files: how their bytes become a frame, what is inferred, what a column holds; the bundled tables."""
