"""Synthetic tables: seeded CSVs whose column names and values appear in no other table of the same call.

They give a demo or a test as many unseen tables as it wants. No real data, no network; the same
seed gives the same bytes.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PLACES = (
    "orchard quarry ferry bakery harbor vineyard sawmill brewery glacier museum tannery foundry "
    "lighthouse apiary nursery cannery theatre garage stable reservoir workshop chapel depot forge"
).split()
CATEGORIES = (
    "grower keeper valley ridge owner crew variety grade parcel colour district pier vessel vendor "
    "supplier curator season shift quarter habitat breed alloy fabric cuisine genre dialect route "
    "terrain climate sector branch material cargo guild permit tenure foreman hamlet market festival "
    "inspector lodging timber blossom mineral currency carriage costume kiln anchor pasture orchid"
).split()
QUALIFIERS = (
    "gross net peak daily spare late early dry fresh raw inner outer upper lower rear front steady "
    "hidden annual weekly"
).split()
AMOUNTS = (
    "yield tonnage slope acidity moisture voltage rainfall torque wage tariff depth altitude tempo "
    "humidity payload mileage turnover backlog discount premium density salinity glare pressure "
    "wattage thickness latency drift royalty surplus"
).split()
VALUE_HEADS = (
    "Bren Tor Cal Wick Hals Mor Vel Ash Dun Kes Lin Oak Pel Rav Sten Thor Ul Wyn Yar Zel Fen Gar "
    "Hol Ing Jor Kirk Lund Nor Quen Ros"
).split()
VALUE_TAILS = (
    "ford vale mere wick dale holm stead gate brook field mouth crest ham well by ton shaw worth "
    "combe leigh"
).split()
LIMIT = len(PLACES)


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Names dealt out once each."""

    tables: list[str]
    categories: list[str]
    amounts: list[str]
    values: list[str]


def _deal(rng: random.Random) -> _Names:
    amounts = [f"{q}_{a}" for q in QUALIFIERS for a in AMOUNTS]
    values = [head + tail for head in VALUE_HEADS for tail in VALUE_TAILS]
    names = _Names(tables=[*PLACES], categories=[*CATEGORIES], amounts=amounts, values=values)
    for pile in (names.tables, names.categories, names.amounts, names.values):
        rng.shuffle(pile)
    return names


def _numbers(rng: random.Random, rows: int) -> list[str]:
    """One numeric column: whole numbers or one decimal, sometimes with gaps."""
    low, width = rng.choice([(0, 60), (20, 300), (100, 5000)])
    whole = rng.random() < 0.5
    gaps = rng.random() < 0.4
    column = []
    for _ in range(rows):
        if gaps and rng.random() < 0.06:
            column.append("")
        else:
            value = low + width * rng.betavariate(2, 3)
            column.append(str(round(value)) if whole else f"{value:.1f}")
    return column


def _table(rng: random.Random, names: _Names) -> tuple[str, dict[str, list[str]]]:
    rows = rng.randint(60, 160)
    columns: dict[str, list[str]] = {}
    for _ in range(2):
        values = [names.values.pop() for _ in range(rng.randint(3, 5))]
        weights = [rng.uniform(1, 4) for _ in values]
        columns[names.categories.pop()] = rng.choices(values, weights, k=rows)
    for _ in range(rng.randint(2, 4)):
        columns[names.amounts.pop()] = _numbers(rng, rows)
    order = [*columns]
    rng.shuffle(order)
    return names.tables.pop(), {name: columns[name] for name in order}


def synthetic_tables(folder: Path, *, count: int, seed: int) -> list[Path]:
    """Write `count` (at most LIMIT) CSV files into `folder` and return their paths."""
    assert count <= LIMIT
    rng = random.Random(f"tables-{seed}")
    names = _deal(rng)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for _ in range(count):
        name, columns = _table(rng, names)
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        paths.append(path)
    return paths
