"""Held-out rows that base and adapter answered, side by side with the reference answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.events import HeldOut, Sample


@dataclass(frozen=True)
class Answered:
    """One row; ``losses``: of base and adapter in nats per token of the row's answers, None if unknown."""

    base: Sample
    adapter: Sample
    losses: tuple[float, float] | None


def answered(samples: Sequence[Sample], measured: HeldOut | None) -> list[Answered]:
    """Return the rows that both answered, each with the last answers."""
    losses = {row.line: row.losses for row in measured.rows} if measured else {}
    return [
        Answered(base, adapter, losses.get(line) if line is not None else None)
        for line, (base, adapter) in _pairs(samples).items()
    ]


def unpaired(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples that ``answered`` leaves out, but for answers of the base."""
    shown = [one for pair in _pairs(samples).values() for one in pair]
    return [s for s in samples if s.label == "adapter" and not any(s is one for one in shown)]


def _pairs(samples: Sequence[Sample]) -> dict[int | None, tuple[Sample, Sample]]:
    base, adapter = (
        {s.line: s for s in samples if s.label == label and s.line is not None}
        for label in ("base", "adapter")
    )
    return {line: (base[line], adapter[line]) for line in base if line in adapter}
