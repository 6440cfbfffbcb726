"""Rows into token ids and labels, checked, and the plan of a run."""
