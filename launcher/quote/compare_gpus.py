"""What a run would take on each card: fits or not and how, speed, time and money, all in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from launcher.quote.estimate import Estimate, TrainingSize, estimate, training_size
from launcher.quote.local_gpus import LocalCard, local_cards
from launcher.quote.run_cost import DISK
from launcher.quote.speed import PARTS
from launcher.runpod_api.answers import Catalog, Gpu
from launcher.settings import Settings
from launcher.view.columns import beside, wrapped
from launcher.world import World
from trainer.contract.event_text import clock
from trainer.contract.job import Job
from trainer.contract.rows import Rows

RECOMPUTED = {0: "", 1: "**", 2: "*"}
LEGEND = "* recomputes half the layers to save memory, ** all layers"
PODS = ":2 is two cards in one pod, as --gpu takes it; it may not be free"
SAME_PRICE = 1.05
"""A price within this of another counts as the same."""
SEVERAL = (2, 4, 8)
SAVED = 0.10
"""More cards are shown if they save this share of the time of fewer."""


@dataclass(frozen=True)
class Line:
    """A card: `rate` in USD an hour with disks, `money` low, likely and high in USD; None is unknown.

    `here`: this machine's, which costs no rent.
    """

    card: str
    memory: int
    rate: float | None
    free: bool
    sized: Estimate
    note: str = ""
    here: bool = False
    count: int = 1

    @property
    def money(self) -> dict[str, float] | None:
        rate = self.rate
        if rate is None:
            return None
        return {part: self.sized.seconds[part] / 3600 * rate for part in PARTS}

    @property
    def likely(self) -> float:
        """What ranks it: the likely money, or the seconds where no price is known."""
        return self.money["likely"] if self.money else self.sized.seconds["likely"]

    def facts(self) -> dict[str, Any]:
        fitted, money = self.sized.fit, self.money
        return {
            "card": self.card,
            "count": self.count,
            "memory_gb": self.memory,
            "rate": self.rate,
            "free": self.free,
            "here": self.here,
            "fits": self.sized.fits,
            "precision": fitted.precision if fitted else None,
            "recompute_every": fitted.every if fitted else None,
            "needs_gb": round(fitted.need.total / 1e9, 1) if fitted else None,
            "tokens_per_second": round(self.sized.tokens_per_second),
            "bound_tokens_per_second": round(self.sized.speed.bound),
            "sources": self.sized.sources(),
            "seconds": {part: round(self.sized.seconds[part]) for part in PARTS},
            "dollars": money and {part: round(money[part], 3) for part in PARTS},
            "measured": self.sized.own.model_dump(exclude_none=True),
            "note": self.note,
        }


def compare(
    what: TrainingSize, catalog: Catalog, settings: Settings, *, count: int = 1
) -> list[Line]:
    """A line for each card of the catalog, those that fit and are free first, then by likely money.

    In a catalog without prices all cards are compared.
    """
    lines = [
        _line(what, gpu, count, catalog, settings)
        for gpu in catalog.gpus
        if gpu.secure and (gpu.secure_price > 0 or not catalog.priced) and gpu.memory
    ]
    lines.sort(key=lambda line: (not line.sized.fits, not line.free, line.likely))
    return _marked(lines)


def _line(what: TrainingSize, gpu: Gpu, count: int, catalog: Catalog, settings: Settings) -> Line:
    disks = (settings.disk + (0 if settings.volume else settings.mount)) * DISK
    return Line(
        card=gpu.id,
        memory=gpu.memory,
        rate=gpu.secure_price * count + disks if catalog.priced else None,
        free=gpu.availability != "NONE",
        sized=estimate(what, gpu.id, memory=gpu.memory, count=count),
        count=count,
    )


def several(
    lines: Sequence[Line], what: TrainingSize, catalog: Catalog, settings: Settings
) -> list[Line]:
    """``lines`` for one card, with two, four and eight of the cheapest and the fastest where they save time.

    Whether so many are free is not known: the catalog was read for pods of one card.
    """
    gpus = {gpu.id: gpu for gpu in catalog.gpus}
    found = []
    for line in lines:
        found.append(line)
        if line.here or not {"cheapest", "fastest"} & set(line.note.split("; ")):
            continue
        gpu = gpus[line.card]
        for count in (n for n in SEVERAL if n <= (gpu.max_count or n)):
            more = _line(what, gpu, count, catalog, settings)
            before, after = (one.sized.seconds["likely"] for one in (found[-1], more))
            if after <= (1 - SAVED) * before:
                found.append(replace(more, note=_gain(line, more)))
    return found


def _gain(one: Line, more: Line) -> str:
    saved = clock(one.sized.seconds["likely"] - more.sized.seconds["likely"])
    cost = f", ${more.likely - one.likely:.2f} more" if one.money and more.money else ""
    return f"saves {saved}{cost}"


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
            count=number,
        )
    ]


def _marked(lines: Sequence[Line]) -> list[Line]:
    usable = [line for line in lines if line.sized.fits and line.free]
    if not usable:
        return list(lines)
    priced = [line for line in usable if line.rate is not None]
    cheapest = min(priced, key=lambda line: line.likely, default=None)
    fastest = min(usable, key=lambda line: line.sized.seconds["likely"])
    found = []
    for line in lines:
        notes = [
            word for word, best in (("cheapest", cheapest), ("fastest", fastest)) if best is line
        ]
        bigger = max(
            (o for o in priced if o.memory > line.memory and _costs_the_same(o, line)),
            key=lambda other: other.memory,
            default=None,
        )
        if bigger is not None and line in usable:
            notes.append(f"{_short(bigger.card)} has {bigger.memory} GB at that price")
        found.append(replace(line, note="; ".join(notes)))
    return found


def _costs_the_same(one: Line, other: Line) -> bool:
    return None not in (one.rate, other.rate) and (one.rate or 0) <= (other.rate or 0) * SAME_PRICE


def local_table(job: Job, data: Rows | None, *, world: World) -> list[str]:
    """What a training takes on this machine's card, as text."""
    cards = local_cards(world)
    if not cards:
        return ["no NVIDIA card here: training runs on the CPU"]
    what = training_size(job, data, world=world)
    return table(local(what, cards), what)


def table(lines: Sequence[Line], what: TrainingSize) -> list[str]:
    """The comparison as text, as wide as the terminal."""
    shape = "" if what.model else " (the model's shape is unknown: size taken from its name)"
    heading = f"{'card':<22}{'GB used':>7}{'$/h':>7}{'token/s':>8}{'time':>8}"
    heading += "".join(f"{part:>7}" for part in PARTS) + "  how"
    loss = f", {what.measured:,} to measure the held-out loss" * bool(what.measured)
    asked = f", {what.questions:,} questions to base and adapter" * bool(what.questions)
    counted = f"{what.tokens:,} tokens to train on{loss}{asked}"
    own = [f"{_named(line)}: {text}" for line in lines for text in line.sized.own.lines()]
    said = [text for line in lines if line.sized.fits for text in _text(line)]
    recomputes = any(line.sized.fit and line.sized.fit.every for line in lines)
    return [
        *wrapped(f"{counted}, longest row about {what.longest:,}{shape}"),
        heading,
        *said,
        *[LEGEND] * recomputes,
        *[PODS] * (len({line.count for line in lines}) > 1),
        *_too_small([line for line in lines if not line.sized.fits]),
        *(text for line in own for text in wrapped(line)),
        *["GB used: counted from the model's shape"] * (what.model is not None),
        *_speeds(lines),
        "image pull and start-up: assumed where not measured; all times are rough",
        *wrapped(f"tokens {what.counted}"),
    ]


def _speeds(lines: Sequence[Line]) -> list[str]:
    """Where the speeds come from, and of which cards, where it is not the same for all."""
    cards: dict[str, list[str]] = {}
    for line in lines:
        cards.setdefault(line.sized.speed.source, []).append(_named(line))
    most = max(cards.values(), key=len, default=[])
    found = []
    for source, named in cards.items():
        which = "" if named is most else f" of {', '.join(named)}"
        found += wrapped(f"token/s{which}: {source}")
    return found


def _too_small(lines: Sequence[Line]) -> list[str]:
    """The cards that are too small, on one line; none without any."""
    needs = [line.sized.fit.need.total for line in lines if line.sized.fit is not None]
    if not needs:
        return []
    named = ", ".join(f"{_named(line)} ({line.memory} GB)" for line in lines)
    return wrapped(f"does not fit, needs about {min(needs) / 1e9:.0f} GB: {named}")


def _text(line: Line) -> list[str]:
    fitted, money = line.sized.fit, line.money
    rate = "-" if line.rate is None else f"{line.rate:.2f}"
    costs = "".join(f"{f'${money[part]:.2f}' if money else '-':>7}" for part in PARTS)
    how = (fitted.precision + RECOMPUTED[fitted.every]) if fitted else ""
    notes = "; ".join(note for note in (line.note, "" if line.free else "none free now") if note)
    took = clock(line.sized.seconds["likely"])
    how = f"  {how}" * bool(how)
    used = f"{fitted.need.total / 1e9:.0f}" if fitted else "-"
    row = f"{_named(line):<22}{f'{used}/{line.memory}':>7} {rate:>6}"
    row += f" {line.sized.tokens_per_second:>7,.0f} {took:>7}"
    return beside(f"{row}{costs}{how}", f"<- {notes}" if notes else "")


def _short(card: str) -> str:
    """The card's name without the words that all have."""
    short = card.removeprefix("NVIDIA ").removeprefix("GeForce ").removesuffix(" Generation")
    return short.removesuffix(" Server Edition").removesuffix(" Blackwell")


def _named(line: Line) -> str:
    """The card and how many, as ``--gpu`` takes it."""
    return _short(line.card) + f":{line.count}" * (line.count > 1)
