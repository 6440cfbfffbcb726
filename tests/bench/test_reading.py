"""Reading two million rows: ours against pandas told the dialect, same file, processor seconds and memory."""

import csv
import json
import random
import subprocess
import sys

import pytest

pytestmark = pytest.mark.bench
ROWS = 2_000_000
BLOCK = 20_000
SCRIPT = """
import json, resource, sys, time
from pathlib import Path
import numpy, pandas, pyarrow
from datagen.episode import Reading
from datagen.tables.infer import infer, read_as
from datagen.tables.table import profile_table
how, path, known = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
reading = Reading.model_validate_json(path.with_suffix(".json").read_text()) if how == "read" else None
wall, cpu = time.perf_counter(), time.process_time()
if how == "pandas":
    pandas.read_csv(path, **known)
elif how == "read":
    read_as(path, reading)
elif how == "infer":
    path.with_suffix(".json").write_text(infer(path).reading.model_dump_json())
else:
    profile_table(path)
took = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([*took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""
KNOWN = {
    "plain": {},
    "european": {"sep": ";", "decimal": ",", "encoding": "cp1252"},
}


def write(path, *, european):
    rng = random.Random(0)
    rows = []
    for number in range(BLOCK):
        amount, rate = f"{rng.gammavariate(2, 500):,.2f}", f"{rng.random():.4f}"
        year, month, day = rng.randint(2015, 2024), rng.randint(1, 12), rng.randint(1, 28)
        city, units = rng.choice(["Ulm", "Bonn", "Jena", "Köln"]), rng.randint(0, 999)
        if european:
            amount = amount.translate(str.maketrans(",.", ".,")) + " €"
            rate, date = rate.replace(".", ","), f"{day:02}.{month:02}.{year}"
        else:
            amount, date = amount.replace(",", ""), f"{year}-{month:02}-{day:02}"
        rows.append([city, amount, units, date, rate, rng.randint(0, 1), f"note {number}"])
    with path.open("w", encoding="cp1252" if european else "utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";" if european else ",")
        writer.writerow(["id", "city", "amount", "units", "day", "rate", "flag", "note"])
        for start in range(0, ROWS, BLOCK):
            writer.writerows([start + at, *row] for at, row in enumerate(rows))


def test_reading(tmp_path):
    print(f"\n{ROWS:,} rows x 8 columns")
    print(f"{'file':10}{'what':10}{'wall s':>8}{'cpu s':>8}{'rows/cpu s':>12}{'ratio':>7}{'MB':>7}")
    for name, known in KNOWN.items():
        path = tmp_path / f"{name}.csv"
        write(path, european=name == "european")
        base = 0.0
        for how in ("pandas", "infer", "read", "profile"):
            wall, cpu, memory = json.loads(
                subprocess.run(
                    [sys.executable, "-c", SCRIPT, how, str(path), json.dumps(known)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            base = base or cpu
            print(
                f"{name:10}{how:10}{wall:8.2f}{cpu:8.2f}{ROWS / cpu:12,.0f}{cpu / base:7.2f}{memory:7.0f}"
            )
        assert path.stat().st_size > ROWS
