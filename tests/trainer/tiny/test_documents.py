"""What the tiny base model has read, and what it has not."""

import csv

from datagen.questions.basic import FAMILIES
from datagen.tables.column_profile import CATEGORY_LIMIT
from datagen.tables.synthetic import (
    AMOUNTS,
    CATEGORIES,
    PLACES,
    QUALIFIERS,
    VALUE_HEADS,
    VALUE_TAILS,
)
from datagen.tables.table import bundled_tables
from trainer.tiny.documents import Documents, families, held_out_names


def test_it_knows_the_wordings_of_the_demo():
    known = families()
    assert {name: tuple(f["wordings"]) for name, f in known.items()} == {
        name: family.wordings for name, family in FAMILIES.items()
    }


def test_every_name_and_value_of_the_demo_is_held_out():
    held_out = held_out_names()
    assert {*PLACES, *CATEGORIES, *AMOUNTS, *QUALIFIERS} <= held_out
    assert {head.lower() + tail for head in VALUE_HEADS for tail in VALUE_TAILS} <= held_out
    for path in bundled_tables():
        with path.open(newline="") as file:
            rows = [*csv.DictReader(file)]
        assert path.stem in held_out
        for column in rows[0]:
            assert column.lower() in held_out
            values = {row[column].lower() for row in rows}
            if len(values) <= CATEGORY_LIMIT:
                assert {v for v in values if any(c.isalpha() for c in v)} - {"na"} <= held_out


def test_documents_hold_no_held_out_name_no_submit_and_no_pandas_answer():
    documents, held_out = Documents(7), held_out_names()
    for _ in range(2000):
        name, value = documents.name(), documents.value().lower()
        assert not held_out & {name, *name.split("_"), value, *value.split()}
        chat = documents.chat()
        assert "df" not in chat.answer.split()
        assert chat.answer.startswith("```sql\nSELECT")
        texts = [
            chat.question,
            chat.answer,
            *(p.text for p in documents.snippets() + documents.lookup()),
        ]
        assert not any("submit(" in text for text in texts)
