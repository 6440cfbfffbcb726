"""Runs on the user's machine: starts runs, follows them and downloads results. Never imports torch."""
