"""Two tables that refer to each other, with something in them for every family."""

import csv
import datetime as dt
import random
from pathlib import Path

import pytest


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def repairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 repairs: a date each, groups, amounts with gaps, outliers and a stand-in, remarks."""
    rng, day = random.Random(3), dt.date(2021, 1, 4)
    rows: list[list[object]] = []
    remarks = ["Pump leaks badly", "belt worn, pump dirty", "Belt snapped at night", "Fuse"]
    for at in range(240):
        day += dt.timedelta(days=rng.choice([1, 1, 1, 1, 3, 9]))
        site = rng.choices(["Ulm", "Bonn", "Jena", "Kiel"], [6, 4, 3, 2])[0]
        shift = rng.choice(["early", "late"])
        hours = rng.gauss({"Ulm": 5, "Bonn": 7, "Jena": 6, "Kiel": 6}[site], 1.5)
        cost = 40 + 25 * hours + rng.gauss(0, 20) + (900 if at % 40 == 0 else 0)
        rows.append([
            f"R{at:03}",
            day.isoformat(),
            rng.choices([site, ""], [9, 1])[0],
            shift,
            f"M{rng.randint(0, 24):02}" if at % 11 else "",
            round(abs(hours), 2) if at % 7 else "",
            round(abs(cost), 2),
            rng.choice([0, 0, 1, 2, 3, 5, 8, 13, 40 + at]),
            rng.choice(remarks) + rng.choice(["", "", f" in bay {at % 9}", " again " + "x" * at]),
            rng.choice(["yes", "no"]) if at % 13 else "",
            10_000 + at * 7_919 % 50_021,
        ])  # fmt: skip
    header = "repair date site shift machine hours cost parts remark warranty mileage".split()
    return write(tmp_path_factory.mktemp("tables") / "repairs.csv", header, rows)


@pytest.fixture(scope="session")
def machines(repairs: Path) -> Path:
    """30 machines, five of which were never repaired."""
    rng = random.Random(4)
    rows: list[list[object]] = [
        [
            f"M{at:02}",
            rng.choice(["lathe", "press", "saw"]),
            rng.choice(["Adler", "Berg", "Cords", "Dorn"]),
            round(rng.uniform(5, 60), 1) if at % 6 else "",
        ]
        for at in range(30)
    ]
    return write(repairs.parent / "machines.csv", ["machine", "type", "maker", "power"], rows)
