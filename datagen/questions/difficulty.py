"""How hard a question is: how many operations its solution takes, and how many tables."""

from __future__ import annotations

import ast

from datagen.episode import Difficulty

FREE = frozenset(
    "submit round float int str bool list len hook print dropna tolist to_numpy normalize "
    "reset_index".split()
)
HEAVIER = {
    **dict.fromkeys("groupby pivot_table crosstab merge rolling corr cov corrwith".split(), 2),
    **dict.fromkeys("polyfit lstsq default_rng".split(), 3),
    **dict.fromkeys("ttest_ind mannwhitneyu f_oneway levene kruskal chi2_contingency".split(), 4),
}
LIMITS: tuple[tuple[int, Difficulty], ...] = ((2, "easy"), (5, "medium"), (9, "hard"))


def operations(code: str) -> int:
    """Calls, comparisons and arithmetic of a solution; what only converts is free, a test weighs more."""
    return sum(_weight(node) for node in ast.walk(ast.parse(code)))


def difficulty(code: str, *, tables: int = 1) -> Difficulty:
    """Each table beyond the first weighs as two operations."""
    weight = operations(code) + 2 * (tables - 1)
    return next((name for limit, name in LIMITS if weight <= limit), "very hard")


def _weight(node: ast.AST) -> int:
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        return 0 if name in FREE else HEAVIER.get(name, 1)
    return int(isinstance(node, ast.Compare | ast.BinOp))
