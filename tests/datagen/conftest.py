"""A small table and tasks about it."""

from pathlib import Path

import pytest

from datagen.generate import Task, table_ref
from datagen.questions.basic import ask
from datagen.tables import profile_table

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
