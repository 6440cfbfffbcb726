"""What a question source hands back: the questions, and what it dropped on the way and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from datagen.episode import Question


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Questions about one set of tables (the first is `df`), each with code and truth.

    `dropped` counts, by reason, the questions that were thought of and not asked.
    """

    questions: list[Question]
    dropped: Mapping[str, int] = field(default_factory=dict)
