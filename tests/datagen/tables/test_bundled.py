"""The demo's tables: their frames and kinds are those the tiny model's card was measured on."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from datagen.episode import Reading
from datagen.questions import basic
from datagen.tables.synthetic import LIMIT, synthetic_tables
from datagen.tables.table import bundled_tables, profile_table, read_table

KINDS = {
    "airlines": "text text",
    "penguins": "text text number number integer integer text integer",
    "planes": "text integer text text text integer integer integer text",
    "seattle_weather": "date number number number number text",
}
QUESTIONS = "b29bdfa51aec77336b10888fa5fd4efb60b32f6492db5df7571a89468bab832b"


def check(path: Path):
    plain = pd.read_csv(path, encoding="utf-8-sig")
    profile = profile_table(path)
    assert profile.reading == Reading()
    assert_frame_equal(read_table(path), plain)
    assert_frame_equal(read_table(path, profile.reading), plain)
    return profile


@pytest.mark.parametrize("path", bundled_tables(), ids=lambda p: p.stem)
def test_bundled_tables_stay_as_they_are(path: Path):
    profile = check(path)
    assert " ".join(c.kind for c in profile.columns) == KINDS[path.stem]


@pytest.mark.parametrize("seed", [0, 1, 20])
def test_synthetic_tables_stay_as_they_are(tmp_path: Path, seed: int):
    for path in synthetic_tables(tmp_path, count=LIMIT, seed=seed):
        profile = check(path)
        for column in profile.columns:
            values = pd.read_csv(path)[column.name].dropna()
            whole = pd.api.types.is_numeric_dtype(values) and bool((values % 1 == 0).all())
            number = pd.api.types.is_numeric_dtype(values)
            assert column.kind == ("integer" if whole else "number" if number else "text")


def test_the_demos_questions_stay_as_they_are(tmp_path: Path):
    """The tiny model was trained on such; when they are to change, it is retrained by its script."""
    digest = hashlib.sha256()
    for path in [*bundled_tables(), *synthetic_tables(tmp_path, count=LIMIT, seed=0)]:
        for question in basic.ask(profile_table(path), count=26, seed=0):
            digest.update(f"{question.text}\0{question.code}\0{question.truth!r}\n".encode())
    assert digest.hexdigest() == QUESTIONS
