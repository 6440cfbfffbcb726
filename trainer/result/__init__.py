"""What a run leaves: the adapter, its proof and manifest, evaluation and export."""
