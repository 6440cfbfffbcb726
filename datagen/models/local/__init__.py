"""Models whose weights are on this machine, answering in batches through transformers."""
