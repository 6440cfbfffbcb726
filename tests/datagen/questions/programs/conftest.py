"""A table with something for every operator, one to join to it, and pandas at hand to solve with."""

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datagen.questions.programs.frame import Frame, drawing, start
from datagen.questions.slots.kinds import SlotOf
from datagen.tables.table import TableProfile, profile_table, read_table

Solve = Callable[[str], Any]
Submitted = Callable[[str, dict[str, pd.DataFrame]], Any]


def trips(rows: int = 240) -> str:
    rng = random.Random(3)
    lines = ["day,shop,model_year,price,units,weight,code,paid"]
    for at in range(rows):
        day = dt.date(2021, 1, 1) + dt.timedelta(days=3 * at)
        shop = rng.choice(["Ulm", "Ulm", "Bonn", "Jena", "Kiel", ""])
        price, weight = round(rng.lognormvariate(3, 1), 2), round(rng.gauss(0, 9), 1)
        units = "" if rng.random() < 0.05 else rng.randrange(1, 30)
        code = f"{rng.choice('ABCD')}{rng.randrange(10, 60)}{rng.choice(['x', 'yy', 'zzz'])}"
        paid = rng.choice(["True", "False"])
        year = rng.randrange(2008, 2020)
        lines.append(f"{day},{shop},{year},{price},{units},{weight},{code},{paid}")
    return "\n".join(lines) + "\n"


SHOPS = "shop,region,area\nUlm,South,410\nBonn,West,255.5\nJena,East,120\nGera,East,90\n"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tables")
    (place / "trips.csv").write_text(trips(), "utf-8")
    (place / "shops.csv").write_text(SHOPS, "utf-8")
    return place


@pytest.fixture(scope="session")
def profiles(folder: Path) -> list[TableProfile]:
    return [profile_table(folder / name) for name in ("trips.csv", "shops.csv")]


@pytest.fixture(scope="session")
def table(profiles: list[TableProfile]) -> Frame:
    return start(profiles)


@pytest.fixture(scope="session")
def alone(profiles: list[TableProfile]) -> Frame:
    return start(profiles[:1])


@pytest.fixture(scope="session")
def submitted() -> Submitted:
    return run


@pytest.fixture(scope="session")
def solve(profiles: list[TableProfile]) -> Solve:
    frames = {p.name: read_table(p.path, p.reading) for p in profiles}
    return lambda code: run(code, frames)


def run(code: str, frames: dict[str, pd.DataFrame]) -> Any:
    """What code submits, over copies of the frames."""
    answers: list[Any] = []
    copies = {name: frame.copy() for name, frame in frames.items()}
    df = next(iter(copies.values()))
    exec(code, {"df": df, "tables": copies, "pd": pd, "np": np, "submit": answers.append})
    return answers[-1]


def drawn(frame: Frame, slot: SlotOf) -> set[object]:
    """What a slot was filled with in fifty draws."""
    rng = random.Random(1)
    return {bound.value for _ in range(50) if (bound := slot(drawing(frame, rng)))}
