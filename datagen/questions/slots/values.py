"""Slots that draw a value: one that a column has, a number between its percentiles, a word of the wording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from datagen.questions.slots.bound import Bound, cell
from datagen.questions.slots.draw import safe

if TYPE_CHECKING:
    from datagen.questions.cells import Value
    from datagen.questions.slots.draw import Draw, Slot

SENTINELS = (0.0, -1.0, 99.0, 999.0, 9999.0, -9.0, -99.0, -999.0, -9999.0)
LEAST_REPEATS = 3


def value_of(slot: str, *, rows: int = 1, other_than: str | None = None) -> Slot:
    """A value that occurs in at least `rows` rows of the column in `slot`; the frequent ones more often."""

    def fill(draw: Draw) -> Bound | None:
        counts = Counter(draw.cells_of(slot).values(str(draw.bound[slot].value)))
        taken = draw.bound[other_than].value if other_than else None
        free: list[Value] = sorted(
            (
                v
                for v, n in counts.items()
                if v is not None and n >= rows and v != taken and safe(str(v))
            ),
            key=str,
        )
        return cell(draw.rng.choices(free, [counts[v] for v in free])[0]) if free else None

    return fill


def threshold(slot: str, low: float = 0.2, high: float = 0.8) -> Slot:
    """A number between two percentiles of the column in `slot`, as round as fits between them."""

    def fill(draw: Draw) -> Bound | None:
        name = str(draw.bound[slot].value)
        values = sorted(x for x in draw.cells.numbers(name) if x is not None and isfinite(x))
        if not values:
            return None
        least, most = (values[min(int(end * len(values)), len(values) - 1)] for end in (low, high))
        value = values[int(draw.rng.uniform(low, high) * len(values))]
        short = (float(f"{value:.{digits}g}") for digits in (1, 2, 3))
        found = next((x for x in short if least <= x <= most), float(f"{value:.4g}"))
        return cell(int(found) if found == int(found) else found)

    return fill


def suspect(slot: str = "n") -> Slot:
    """A number often used for "unknown" that stands at an end of a column, and stands there repeatedly."""

    def fill(draw: Draw) -> Bound | None:
        values = [x for x in draw.cells.numbers(str(draw.bound[slot].value)) if x is not None]
        counts = Counter(values)
        ends = {min(values, default=None), max(values, default=None)}
        found = [x for x in SENTINELS if x in ends and counts[x] >= LEAST_REPEATS]
        return cell(int(draw.rng.choice(found))) if found else None

    return fill


def part_of(slot: str) -> Slot:
    """A word (of letters, three or more) of some value of the column in `slot`, in lower case."""

    def fill(draw: Draw) -> Bound | None:
        counts = Counter(
            word.lower()
            for value in {*draw.cells.text[str(draw.bound[slot].value)]} - {None}
            for word in str(value).replace("-", " ").replace("/", " ").split()
            if len(word) > 2 and word.isalpha() and word.isascii()
        )
        words = sorted(word for word, times in counts.items() if times > 1 and safe(word))
        return cell(draw.rng.choice(words)) if words else None

    return fill


def pick(*options: str | float) -> Slot:
    """One of these, bare in text, code and SQL."""

    def fill(draw: Draw) -> Bound:
        value = draw.rng.choice(options)
        bare = value if isinstance(value, str) else repr(value)
        return Bound(value, str(value), bare, sql=bare)

    return fill


def words(options: Mapping[str, Sequence[str]]) -> Slot:
    """A word for the wording, and the bare pieces of code and SQL it stands for."""

    def fill(draw: Draw) -> Bound:
        word = draw.rng.choice([*options])
        code, sql = options[word]
        return Bound(word, word, code, sql=sql)

    return fill
