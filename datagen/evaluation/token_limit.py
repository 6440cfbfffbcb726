"""The limit on the tokens of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.contract.command.errors import BudgetSpent

if TYPE_CHECKING:
    from datagen.episode import Episode


@dataclass
class TokenMeter:
    """Counts tokens read and written; `most` None means no limit."""

    most: int | None
    spent: int = 0

    @property
    def empty(self) -> bool:
        return self.most is not None and self.spent >= self.most

    def add(self, episode: Episode) -> None:
        self.spent += sum(t.prompt_tokens + t.completion_tokens for t in episode.traces)

    def refuse(self, label: str, *, missing: int) -> None:
        """Raise BudgetSpent if answers are missing because the limit is reached."""
        if self.empty and missing:
            raise BudgetSpent(
                f"{label}: {missing} questions were not started: {self.spent:,} tokens of {self.most:,} are used",
                "run the same command with a higher --max-total-tokens: answers so far are kept",
            )
