"""The result of a run: the adapter, its proof and manifest, evaluation and export."""
