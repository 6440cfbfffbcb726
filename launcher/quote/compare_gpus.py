"""What a run would take on each card: fits or not and how, speed, time and money, all in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from launcher.quote import gpu_names
from launcher.quote.estimate import PARTS, Estimate, TrainingSize, estimate
from launcher.quote.local_gpus import LocalCard
from launcher.quote.run_cost import DISK
from launcher.runpod_api.answers import Catalog
from launcher.settings import Settings
from trainer.contract.event_text import clock

RECOMPUTED = {0: "", 1: ", recomputes all layers", 2: ", recomputes half the layers"}
SAME_PRICE = 1.05
"""A price within this of another counts as the same."""


@dataclass(frozen=True)
class Line:
    """A card: `rate` in USD an hour with disks, `money` low, likely and high in USD.

    `here`: this machine's, which costs no rent.
    """

    card: str
    memory: int
    rate: float
    free: bool
    sized: Estimate
    note: str = ""
    here: bool = False

    @property
    def money(self) -> dict[str, float]:
        return {part: self.sized.seconds[part] / 3600 * self.rate for part in PARTS}

    def facts(self) -> dict[str, Any]:
        fitted = self.sized.fit
        return {
            "card": self.card,
            "memory_gb": self.memory,
            "rate": self.rate,
            "free": self.free,
            "here": self.here,
            "fits": self.sized.fits,
            "precision": fitted.precision if fitted else None,
            "recompute_every": fitted.every if fitted else None,
            "needs_gb": round(fitted.need.total / 1e9, 1) if fitted else None,
            "tokens_per_second": round(self.sized.tokens_per_second),
            "seconds": {part: round(self.sized.seconds[part]) for part in PARTS},
            "dollars": {part: round(self.money[part], 3) for part in PARTS},
            "measured": self.sized.own.model_dump(exclude_none=True),
            "note": self.note,
        }


def compare(
    what: TrainingSize, catalog: Catalog, settings: Settings, *, count: int = 1
) -> list[Line]:
    """A line for each card of the catalog, those that fit and are free first, then by likely money."""
    disks = (settings.disk + (0 if settings.volume else settings.mount)) * DISK
    lines = [
        Line(
            card=gpu.id,
            memory=gpu.memory,
            rate=gpu.secure_price * count + disks,
            free=gpu.availability != "NONE",
            sized=estimate(what, gpu.id, memory=gpu.memory, count=count),
        )
        for gpu in catalog.gpus
        if gpu.secure and gpu.secure_price > 0 and gpu.memory
    ]
    lines.sort(key=lambda line: (not line.sized.fits, not line.free, line.money["likely"]))
    return _marked(lines)


def local(what: TrainingSize, cards: Sequence[LocalCard], *, count: int = 1) -> list[Line]:
    """A line for as many of this machine's cards as are wanted and there; none without a card."""
    if not cards:
        return []
    card, number = cards[0], min(count, len(cards))
    return [
        Line(
            card=card.name,
            memory=card.memory,
            rate=0.0,
            free=True,
            sized=estimate(what, card.name, memory=card.memory, count=number, here=True),
            note="in this machine: --on here, --on docker",
            here=True,
        )
    ]


def _marked(lines: Sequence[Line]) -> list[Line]:
    usable = [line for line in lines if line.sized.fits and line.free]
    if not usable:
        return list(lines)
    cheapest = min(usable, key=lambda line: line.money["likely"])
    fastest = min(usable, key=lambda line: line.sized.seconds["likely"])
    found = []
    for line in lines:
        notes = [
            word for word, best in (("cheapest", cheapest), ("fastest", fastest)) if best is line
        ]
        bigger = max(
            (o for o in usable if o.memory > line.memory and o.rate <= line.rate * SAME_PRICE),
            key=lambda other: other.memory,
            default=None,
        )
        if bigger is not None and line in usable:
            notes.append(f"{_short(bigger.card)} has {bigger.memory} GB at that price")
        found.append(
            Line(line.card, line.memory, line.rate, line.free, line.sized, "; ".join(notes))
        )
    return found


def table(lines: Sequence[Line], what: TrainingSize) -> list[str]:
    """The comparison as text."""
    shape = "" if what.model else " (the model's shape is unknown: size taken from its name)"
    heading = f"{'card':<26}{'GB':>4}{'$/h':>7}{'tokens/s':>10}{'time':>9}"
    heading += "".join(f"{part:>8}" for part in PARTS) + "  how"
    loss = f", {what.measured:,} to measure the held-out loss" * bool(what.measured)
    asked = f", {what.questions:,} questions to base and adapter" * bool(what.questions)
    counted = f"{what.tokens:,} tokens to train on{loss}{asked}"
    said = [
        f"{counted}, longest row about {what.longest:,}{shape}",
        heading,
    ]
    said += [_text(line) for line in lines]
    own = [f"{_short(line.card)}: {text}" for line in lines for text in line.sized.own.lines()]
    speed = "speed of other cards" if own else "speed"
    unknown = "" if own else ", not measured on a card yet"
    rough = f"tokens {what.counted}; rough: {speed} from published runs{unknown}"
    return [*said, *own, rough]


def _text(line: Line) -> str:
    fitted = line.sized.fit
    start = f"{_short(line.card):<26}{line.memory:>4}{line.rate:>7.2f}"
    if not line.sized.fits:
        assert fitted is not None
        return f"{start}  does not fit: needs about {fitted.need.total / 1e9:.0f} GB"
    money = "".join(f"{f'${line.money[part]:.2f}':>8}" for part in PARTS)
    how = (fitted.precision + RECOMPUTED[fitted.every]) if fitted else ""
    notes = "; ".join(note for note in (line.note, "" if line.free else "none free now") if note)
    marked = f"  <- {notes}" * bool(notes)
    took = clock(line.sized.seconds["likely"])
    return f"{start} {line.sized.tokens_per_second:>9,.0f}{took:>9}{money}  {how}{marked}"


def _short(card: str) -> str:
    short = card.removeprefix("NVIDIA ").removeprefix("GeForce ")
    return short if card in gpu_names.CARDS else card
