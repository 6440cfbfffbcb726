"""The shape of a solution, by which attempts that differ in spelling only are recognised."""

from __future__ import annotations

import ast

from datagen.episode import Trace


def solution_shape(code: str) -> str:
    """The syntax of the code with variables renamed by first use; the code itself if it is not Python.

    Two solutions of one shape differ at most in spelling, layout, comments and names of variables.
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    parts: list[str] = []
    names: list[tuple[int, str]] = []  # where in `parts` a name stands
    assigned: set[str] = set()
    stack: list[object] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.AST):
            parts.append(type(node).__name__)
            if isinstance(node, ast.Name):
                names.append((len(parts), node.id))
                if isinstance(node.ctx, ast.Store):
                    assigned.add(node.id)
                parts.append(node.id)
            else:
                stack += [getattr(node, field, None) for field in node._fields if field != "ctx"]
        elif isinstance(node, list):
            parts.append(str(len(node)))
            stack += node
        else:
            parts.append(repr(node))
    numbers: dict[str, str] = {}
    for at, name in names:
        if name in assigned:
            parts[at] = numbers.setdefault(name, f"_{len(numbers)}")
    return "\n".join(parts)


def trace_shape(trace: Trace) -> str:
    """The shape of the cells that ran without an error."""
    return solution_shape(trace_code(trace))


def trace_code(trace: Trace) -> str:
    """The cells that ran without an error, one after another."""
    return "\n".join(turn.code for turn in trace.turns if turn.code and not turn.error)
