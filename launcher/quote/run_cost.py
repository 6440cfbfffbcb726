"""The maximum cost of a run, its deadlines, and an estimate of the cost.

Rates are read live; disk prices, which the API does not return, are constants here. Money in USD,
sizes in GB, times in unix seconds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from launcher.errors import OverBudget
from launcher.quote.estimate import TrainingSize, estimate
from launcher.quote.gpu_names import Candidate
from launcher.quote.speed import PARTS
from launcher.settings import Settings
from trainer.contract.event_text import clock
from trainer.contract.validation import ASKED

MONTH = 730.0  # hours
DISK = 0.10 / MONTH  # per GB and hour while a pod runs
STOPPED_DISK = 0.20 / MONTH  # per GB and hour of the mount while it is stopped
RESERVE = 900.0  # seconds between the save-by and the delete-by deadline
RESERVED = 0.25  # of a short run, at most this share
SLACK = 60.0  # seconds that a stop may take
SHORTEST = 600.0  # seconds: less is not even enough to pull the image


@dataclass(frozen=True)
class Quote:
    """``rate`` is USD per hour with disks; ``low``, ``likely`` and ``high`` are rough, in USD and at most
    ``most``; ``questions`` of an evaluation and those ``validated`` are in them; ``spent`` is not in ``most``.
    ``tokens_per_second`` is likely; ``sources``: where it and the time come from; ``measured``: lines about
    the user's own runs.
    """

    gpu: str
    count: int
    memory: int
    rate: float
    read_at: float
    hours: float
    most: float
    finish_by: float
    gone_by: float
    likely_hours: float
    likely: float
    low: float
    high: float
    questions: int
    waiting: float
    stopped_day: float
    spent: float = 0.0
    validated: int = 0
    alone: str = ""
    tokens_per_second: float = 0.0
    sources: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def quote(
    candidate: Candidate,
    count: int,
    settings: Settings,
    what: TrainingSize,
    *,
    now: float,
    read_at: float,
    spent: float = 0.0,
) -> Quote:
    """Turn the caps into deadlines at this candidate's rate. Raises ``OverBudget`` when too short.

    ``spent``: the part of ``max_cost`` that the run's earlier attempts have used.
    """
    disks = 0 if settings.volume else settings.mount
    rate = candidate.rate + (settings.disk + disks) * DISK
    left = max(0.0, settings.max_cost - spent)
    hours = min(settings.max_hours, left / rate)
    if hours * 3600 < SHORTEST:
        before = f" (${spent:.2f} of it already spent by earlier attempts)" * bool(spent)
        card = f"{candidate.gpu.name or candidate.gpu.id} at ${rate:.2f}/h"
        if settings.max_hours < left / rate:
            raise OverBudget(
                f"--max-hours {settings.max_hours:g} is {clock(hours * 3600)} of {card}: too short to start the pod",
                "allow at least --max-hours 0.2",
            )
        raise OverBudget(
            f"${settings.max_cost:.2f}{before} buys {clock(hours * 3600)} of {card}: too short to start the pod",
            f"allow at least --max-cost {spent + rate * SHORTEST / 3600 + 0.01:.2f}",
        )
    gone_by = now + hours * 3600 - SLACK
    finish_by = gone_by - min(RESERVE, hours * 3600 * RESERVED)
    guess = estimate(what, candidate.gpu.id, memory=candidate.gpu.memory, count=count)
    low, likely, high = (min(hours, guess.seconds[part] / 3600) for part in PARTS)
    return Quote(
        gpu=candidate.gpu.id,
        count=count,
        memory=candidate.gpu.memory,
        rate=rate,
        read_at=read_at,
        hours=hours,
        most=hours * rate,
        finish_by=finish_by,
        gone_by=gone_by,
        likely_hours=likely,
        likely=likely * rate,
        low=low * rate,
        high=high * rate,
        questions=what.questions,
        waiting=settings.grace / 60 * rate,
        stopped_day=disks * STOPPED_DISK * 24,
        spent=spent,
        validated=what.validated,
        alone=what.alone,
        tokens_per_second=round(guess.tokens_per_second, 1),
        sources=tuple(guess.sources()),
        measured=tuple(guess.own.lines()),
    )


def lines(offer: Quote, settings: Settings) -> list[str]:
    """The quote as it is shown."""
    several = f"{offer.count} x " if offer.count > 1 else ""
    card = f"{several}{offer.gpu} ({offer.memory} GB)"
    asked = f" with {offer.questions:,} questions to base and adapter" * bool(offer.questions)
    if offer.validated:
        joined = " and" if offer.questions else " with"
        asked += f"{joined} {offer.validated:,} to each of {ASKED} checkpoints"
    likely = (
        f"likely ${offer.likely:.2f} ({clock(offer.likely_hours * 3600)}){asked}, "
        f"rough: ${offer.low:.2f} to ${offer.high:.2f}"
    )
    end = "deletes itself" if settings.on_deadline == "delete" else "stops"
    after = (
        "then deletes itself"
        if settings.on_deadline == "delete"
        else f"then stops: ${offer.stopped_day:.2f} a day for its disk until you fetch or reap it"
    )
    kept = (
        f"volume {settings.volume} keeps checkpoints if the host fails"
        if settings.volume
        else "a host failure loses what was trained so far (--volume keeps it)"
    )
    before = f" (${offer.spent:.2f} already spent by earlier attempts)" * bool(offer.spent)
    return [
        f"quote: {card}, ${offer.rate:.3f}/h with disks, price of {at_day(offer.read_at)}",
        f"  at most ${offer.most:.2f} = {offer.hours:.2f} h at ${offer.rate:.3f}/h{before}",
        f"  {likely}",
        *[f"  {text}" for text in (*offer.sources, *offer.measured)],
        *[f"  {text}" for text in one_at_a_time(offer.alone)],
        f"  deadlines: saves by {at(offer.finish_by)}, {end} by {at(offer.gone_by)}",
        f"  when finished, waits {settings.grace:g} min (${offer.waiting:.2f}) for the download, {after}",
        f"  {kept}",
    ]


def one_at_a_time(reason: str) -> list[str]:
    """The line that explains why a run is slower than with packed rows; none where rows are packed."""
    return [f"rows are trained one at a time ({reason}), which is slower"] * bool(reason)


def reach_line(reach: Mapping[str, int], wanted: int, cuda: str) -> str:
    """How many of the ``wanted`` kinds of card each CUDA flavour of the image reaches; ``cuda`` is used."""
    others = ", ".join(f"{count} with {other}" for other, count in reach.items() if other != cuda)
    return (
        f"  cards: {reach[cuda]} of {wanted} kinds are available now with CUDA {cuda}"
        + f" ({others}: --cuda)" * bool(others)
    )


def at(instant: float) -> str:
    """An instant as local time of day, with the zone."""
    return f"{datetime.fromtimestamp(instant).astimezone():%H:%M:%S %Z}"


def at_day(instant: float) -> str:
    """An instant as local date and time, with the zone."""
    return f"{datetime.fromtimestamp(instant).astimezone():%Y-%m-%d %H:%M %Z}"
