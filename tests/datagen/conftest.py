"""A small table, tasks and episodes about it, and a run to evaluate on them."""

from pathlib import Path

import pytest

from datagen.episode import write_episodes
from datagen.generate import Task, attempt_all, table_ref
from datagen.questions.basic import ask
from datagen.questions.teach import scripted_teacher
from datagen.tables.table import profile_table

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
        tasks, scripted_teacher(tasks, seed=0), seed=0, journal=tmp_path / "made.jsonl"
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
