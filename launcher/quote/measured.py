"""What the user's own finished runs measured: a line each in ``measured.jsonl`` of the state folder.

Plans and quotes use the median of the runs on the same card, instead of the published figures.
"""

from collections.abc import Sequence
from contextlib import suppress
from statistics import median
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from launcher.world import World
from trainer.contract.command.crash_safe_files import append, cut_torn_line, open_locked
from trainer.contract.command.errors import Locked
from trainer.contract.event_text import clock

FILE = "measured.jsonl"
SAME_SIZE = 0.1  # parameters of models that count as equally large differ by this share at most
SPREAD = 1.1  # low and high are at least this factor away from the median
TRIES, PAUSE = 20, 0.05  # seconds: another run may be writing its line


class Measured(BaseModel):
    """One run. Seconds, bytes, tokens a second; None is unknown. ``predicted``: the figures of its quote.

    ``pull_seconds``: from the rental to SSH access. ``start_seconds``: from the trainer's (or pod's)
    first event to the end of the first step. ``peak_bytes``: of the trial step. ``seconds``: all in.
    ``bound_tokens_per_second``: what the kernels allow at most on these cards, as the trial step reported it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    v: int = 1
    run: str
    time: float
    card: str
    cards: int
    model: str
    parameters: float
    precision: str
    seconds: float
    tokens_per_second: float | None = None
    bound_tokens_per_second: float | None = None
    peak_bytes: int | None = None
    pull_seconds: float | None = None
    start_seconds: float | None = None
    predicted_tokens_per_second: float | None = None
    predicted_bytes: int | None = None
    predicted_seconds: float | None = None

    @property
    def share(self) -> float | None:
        """The speed as a share of its bound."""
        rate, bound = self.tokens_per_second, self.bound_tokens_per_second
        return rate / bound if rate and bound else None

    def of_size(self, parameters: float) -> bool:
        return abs(self.parameters - parameters) <= SAME_SIZE * parameters


class Spread(BaseModel):
    """The least, the median and the most of a figure in ``runs`` runs."""

    model_config = ConfigDict(frozen=True)

    low: float
    likely: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self | None:
        """None where nothing was measured."""
        found = [value for value in values if value is not None and value > 0]
        if not found:
            return None
        middle = median(found)
        low, high = min(*found, middle / SPREAD), max(*found, middle * SPREAD)
        return cls(low=low, likely=middle, high=high, runs=len(found))


class Own(BaseModel):
    """The user's runs on one card with a model of one size, the newest last.

    ``share``: of the bound, by runs with any model on this card, or on all cards if ``elsewhere``.
    """

    model_config = ConfigDict(frozen=True)

    runs: tuple[Measured, ...] = ()
    pull: Spread | None = None
    start: Spread | None = None
    rate: Spread | None = None
    share: Spread | None = None
    elsewhere: bool = False

    @classmethod
    def on(
        cls,
        card: str,
        every: Sequence[Measured],
        *,
        cards: int,
        parameters: float,
        precision: str | None,
    ) -> Self:
        """Choose what holds for this card. A pull is the same for every model; ``precision`` None is any."""
        here = [one for one in every if (one.card, one.cards) == (card, cards)]
        sized = [one for one in here if one.of_size(parameters)]
        alike = [one for one in sized if precision in (None, one.precision)]
        share = Spread.of([one.share for one in here])
        anywhere = Spread.of([one.share for one in every])
        return cls(
            runs=tuple(alike),
            pull=Spread.of([one.pull_seconds for one in here]),
            start=Spread.of([one.start_seconds for one in sized]),
            rate=Spread.of([one.tokens_per_second for one in alike]),
            share=share or anywhere,
            elsewhere=share is None and anywhere is not None,
        )

    def lines(self) -> list[str]:
        """From how many runs the figures are, and how wrong the last prediction was; none without a run."""
        named = {"speed": self.rate, "start-up": self.start, "image pull": self.pull}
        found = [f"{name} (median of {one.runs})" for name, one in named.items() if one is not None]
        if not found:
            return []
        said = [f"measured by your own runs on this card: {', '.join(found)}"]
        return [*said, *(last_prediction(self.runs[-1]) if self.runs else [])]


def last_prediction(last: Measured) -> list[str]:
    """The figures that were measured beside those of the run's quote; none where these are unknown."""
    found = []
    if last.predicted_seconds:
        took, said = clock(last.seconds), clock(last.predicted_seconds)
        found.append(
            f"took {took}, predicted {said} ({last.seconds / last.predicted_seconds - 1:+.0%})"
        )
    if last.tokens_per_second and last.predicted_tokens_per_second:
        rate, said_rate = last.tokens_per_second, last.predicted_tokens_per_second
        found.append(
            f"{rate:,.0f} tokens/s, predicted {said_rate:,.0f} ({rate / said_rate - 1:+.0%})"
        )
    if last.peak_bytes and last.predicted_bytes:
        peak, said_peak = last.peak_bytes, last.predicted_bytes
        found.append(
            f"peak {peak / 1e9:.1f} GB, predicted {said_peak / 1e9:.1f} GB ({peak / said_peak - 1:+.0%})"
        )
    return [f"last prediction, run {last.run}: {'; '.join(found)}"] * bool(found)


def keep(one: Measured, *, world: World) -> None:
    """Append a run. A figure that cannot be written must not fail a run that succeeded."""
    for _ in range(TRIES):
        with suppress(Locked):
            try:
                with open_locked(world.state_folder() / FILE) as file:
                    cut_torn_line(file)
                    append(file, one.model_dump_json().encode() + b"\n", fsync=False)
            except OSError:
                pass
            return
        world.sleep(PAUSE)


def read(world: World) -> tuple[Measured, ...]:
    """Every run that was measured, in the order in which they were written; other lines are skipped."""
    found: dict[str, Measured] = {}
    with suppress(OSError):
        for line in (world.state_folder() / FILE).read_bytes().splitlines():
            with suppress(ValidationError):
                one = Measured.model_validate_json(line)
                found.pop(one.run, None)
                found[one.run] = one
    return tuple(found.values())
