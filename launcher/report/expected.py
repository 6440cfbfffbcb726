"""The expected and the measured figures of a run, where both are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from trainer.contract import events
from trainer.contract.event_text import clock

Unit = Literal["bytes", "tokens/s", "seconds"]


@dataclass(frozen=True)
class Expected:
    """An expected figure and the measured one; both above zero."""

    what: str
    unit: Unit
    expected: float
    measured: float

    @property
    def error(self) -> float:
        """How far the measured one is off, as a share of the expected one."""
        return self.measured / self.expected - 1

    @property
    def shown(self) -> tuple[str, str, str]:
        """Expected, measured and error, as people read them."""
        return (
            _text(self.expected, self.unit),
            _text(self.measured, self.unit),
            f"{self.error:+.0%}",
        )


def expectations(
    probe: events.TrialStep | None,
    steps: Sequence[events.Step],
    *,
    likely: float | None,
    took: float,
) -> list[Expected]:
    """Memory and rate from the trial step, and time from the quote, each with its measured figure.

    ``likely`` and ``took`` are seconds; the rate of a run is the median over its ``steps``.
    """

    def known() -> Iterator[Expected]:
        if probe is not None:
            yield Expected(
                "memory of the trial step",
                "bytes",
                probe.predicted_bytes or 0,
                probe.peak_bytes or 0,
            )
            rates = [step.tokens_per_second for step in steps]
            yield Expected(
                "tokens per second, of the trial step and of all steps",
                "tokens/s",
                probe.tokens_per_second,
                median(rates) if rates else 0,
            )
        yield Expected("time, quoted as likely", "seconds", likely or 0, took)

    return [one for one in known() if one.expected > 0 and one.measured > 0]


def _text(value: float, unit: Unit) -> str:
    if unit == "bytes":
        return f"{value / 1e9:.1f} GB"
    return clock(value) if unit == "seconds" else f"{value:,.0f}"
