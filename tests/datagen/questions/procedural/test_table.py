from collections.abc import Sequence
from pathlib import Path

import pytest

from datagen.questions.procedural.state import Rows
from datagen.questions.procedural.steps.join import Join
from datagen.questions.procedural.table import load
from datagen.tables.table import profile_table

ROWS = 40


def table_of(tmp_path: Path, **columns: Sequence[object]) -> Rows:
    path = tmp_path / "t.csv"
    lines = [
        ",".join(columns),
        *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return load([profile_table(path)])


def test_months_are_counted_by_and_not_added(tmp_path):
    rows = table_of(tmp_path, month=[at % 6 + 1 for at in range(ROWS)], other=range(ROWS))
    assert rows.columns["month"].uses == {"label"}


@pytest.mark.parametrize(
    ("values", "uses"),
    [
        (["red", "blue"] * 20, {"label"}),
        (["red", "Red"] * 20, set()),  # two values or one?
        (["a'b", "c"] * 20, set()),
        ([f"word {at % 20}" for at in range(ROWS)], {"words"}),
        ([at % 4 for at in range(ROWS)], {"label", "amount"}),
        ([at * at % 97 + 0.5 for at in range(ROWS)], {"amount"}),
        ([f"2020-01-{at % 28 + 1:02}" for at in range(ROWS)], {"day"}),
        (["same"] * ROWS, set()),
        (["True", "False"] * 20, {"label"}),
    ],
)
def test_what_a_column_is_good_for(tmp_path, values, uses):
    rows = table_of(tmp_path, x=values, other=range(ROWS))
    assert rows.columns["x"].uses - {"key"} == uses


def test_a_year_orders_time_and_is_not_added_up(tmp_path):
    rows = table_of(tmp_path, year=[2000 + at % 5 for at in range(ROWS)])
    assert rows.columns["year"].uses == {"period", "label"}


def test_a_column_whose_name_cannot_be_quoted_is_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a ""b""",c\n' + "1,2\n3,5\n4,7\n", "utf-8")
    assert {*load([profile_table(path)]).columns} == {"c"}


def test_a_join_makes_labels_of_what_it_repeats(table):
    joined = Join("shops", "shop").plain(table)
    assert joined.columns["region"].uses == {"label"}
    assert joined.columns["area"].uses == {"amount"}
    assert table.others["shops"].columns["region"].uses <= {"key"}


def test_the_others_can_be_joined_by_a_key(table):
    assert {*table.others} == {"shops"}
    assert "key" in table.others["shops"].columns["shop"].uses
    assert "key" not in table.columns["shop"].uses
