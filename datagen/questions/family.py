"""What the question engine's parts share: an answer, and a reason not to ask."""

Truth = object
LOOK = "# look\n"  # in a solution: what comes before it is a first turn of its own


class Unasked(Exception):  # noqa: N818 - not an error: a reason not to ask
    """A question that has no single or no interesting answer; the text is the reason."""
