"""The shape of a solution and of a question's text, by which duplicates are recognised."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from datagen.episode import Trace

SHINGLE = 5
PERMUTATIONS = 128


def solution_shape(codes: Sequence[str]) -> str:
    """The syntax of the code cells with variables renamed by first use; the text if it is not Python.

    Two solutions of one shape differ at most in spelling, layout, comments and names of variables.
    """
    text = "\n".join(codes)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    assigned = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in assigned:
            node.id = names.setdefault(node.id, f"_{len(names)}")
    return ast.dump(tree)


def trace_shape(trace: Trace) -> str:
    """The shape of the cells that ran without an error."""
    return solution_shape([turn.code for turn in trace.turns if turn.code and not turn.error])


def shingles(text: str) -> set[bytes]:
    """Overlapping runs of SHINGLE characters of the text, in lower case with single spaces."""
    plain = " ".join(text.lower().split())
    return {plain[at : at + SHINGLE].encode() for at in range(max(1, len(plain) - SHINGLE + 1))}
