"""What the two demos make, train and ask: fixed before the runs that the README shows."""

from __future__ import annotations

from dataclasses import dataclass

# The harder questions: each from its family of templates, in one block of code.
HARDER = (
    "percentile,share_above_average,two_groups_difference,second_group,weighted_mean,group_gap,"
    "min_max_scaled,r_squared"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """``questions``: of each call of `datagen questions`, its families and how many per table.

    ``promised``: the least difference between adapter and base. ``evaluation``: more flags.
    """

    recipe: str
    prompt: str
    invented: int
    questions: tuple[tuple[str, int], ...]
    asked: int
    evaluation: tuple[str, ...] = ()
    job: tuple[tuple[str, object], ...] = ()
    promised: float = 0.40


REAL = Settings(
    recipe="demo",
    prompt="compact",
    invented=18,
    questions=(("basic", 20), (HARDER, 18)),
    asked=80,
    evaluation=("--tokens", "128"),
)
TINY = Settings(
    recipe="tiny",
    prompt="brief",
    invented=24,
    questions=(("basic", 66),),
    asked=240,
    # Most tokens in a row: what keeps the training to about two minutes.
    job=(("epochs", 10), ("max_length", 160)),
)
