"""Small tables, tasks and episodes about them, and a run to evaluate on them."""

import csv
import datetime as dt
import random
from pathlib import Path

import pytest

from datagen.episode import write_episodes
from datagen.episodes.attempts import Task
from datagen.episodes.run_questions import attempt_all, table_ref
from datagen.episodes.scripted_teacher import scripted_teacher
from datagen.questions.basic import ask
from datagen.tables.table import profile_table
from tests.datagen.answered import solver

TINY = Path(__file__).parents[2] / "trainer" / "tiny" / "model"
SHOP = """\
city,amount,units,day
Ulm,10.5,3,2024-01-01
Ulm,20.25,4,2024-01-02
Bonn,7.75,,2024-01-03
Bonn,8.5,2,2024-01-04
Bonn,30.0,9,2024-01-05
,1.25,1,2024-01-06
Jena,12.0,7,2024-01-07
Jena,13.5,8,2024-01-08
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.csv"
    path.write_text(SHOP, "utf-8")
    return path


@pytest.fixture
def tasks(shop: Path) -> list[Task]:
    profile = profile_table(shop)
    ref = table_ref(profile, shop.parent)
    return [Task(question=q, tables=[ref], paths=[shop]) for q in ask(profile, count=13, seed=0)]


@pytest.fixture
def episodes(tasks: list[Task], tmp_path: Path) -> Path:
    made = attempt_all(
        tasks, solver(scripted_teacher(tasks, seed=0)), journal=tmp_path / "made.jsonl"
    )
    write_episodes(tmp_path / "test.jsonl", made)
    return tmp_path / "test.jsonl"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose adapter does nothing."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "run"
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(TINY), config)
    model.save_pretrained(folder / "adapter")
    AutoTokenizer.from_pretrained(TINY).save_pretrained(folder / "adapter")
    return folder


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
