"""The laptop side: starts runs, follows them, brings the result home. Never imports torch."""
