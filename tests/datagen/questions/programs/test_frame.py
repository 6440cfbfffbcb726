from collections.abc import Sequence
from pathlib import Path

import pytest

from datagen.questions.family import Unasked
from datagen.questions.programs.frame import Frame, start
from datagen.questions.programs.program import after, from_json
from datagen.questions.slots.kinds import SlotOf
from datagen.tables.table import profile_table
from tests.datagen.questions.programs.conftest import drawn

ROWS = 40


def table_of(tmp_path: Path, **columns: Sequence[object]) -> Frame:
    path = tmp_path / "t.csv"
    lines = [
        ",".join(columns),
        *(",".join(map(str, r)) for r in zip(*columns.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return start([profile_table(path)])


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        (["red", "blue"] * 20, {"group", "repeated"}),
        (["red", "Red"] * 20, set()),  # two values or one?
        ([f"word {at % 20}" for at in range(ROWS)], {"repeated"}),
        ([at % 4 for at in range(ROWS)], {"group", "amount", "comparable"}),
        ([at * at % 97 + 0.5 for at in range(ROWS)], {"amount", "comparable"}),
        ([f"2020-01-{at % 28 + 1:02}" for at in range(ROWS)], {"dates"}),
        (
            [f"2020-01-{at % 28 + 1:02} 10:30:00" for at in range(ROWS)],
            set(),
        ),  # which day is 10:30?
        (["same"] * ROWS, set()),
        (["True", "False"] * 20, {"group", "repeated"}),
    ],
)
def test_what_a_column_is_good_for(tmp_path, values, kinds):
    frame = table_of(tmp_path, x=values, other=range(ROWS))
    asked = {"group", "amount", "comparable", "repeated", "dates"}
    assert {kind for kind in asked if "x" in drawn(frame, SlotOf(kind))} == kinds


def test_a_year_orders_time_and_is_not_added_up(tmp_path):
    frame = table_of(tmp_path, year=[2000 + at % 5 for at in range(ROWS)], z=range(3, ROWS + 3))
    assert "year" not in drawn(frame, SlotOf("amount"))
    (size, _) = from_json(
        frame,
        {"steps": [{"step": "group_size", "c": "year"}, {"step": "top_label", "end": "highest"}]},
    )
    assert "ordered" in after(frame, size).facts


def test_a_column_whose_name_cannot_be_quoted_is_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a ""b""",c\n' + "1,2\n3,5\n4,7\n", "utf-8")
    assert {*start([profile_table(path)]).columns} == {"c"}


def test_a_join_brings_the_columns_of_the_other_table(table):
    join = {"step": "join", "u": "shops", "k": "shop", "r": "shop"}
    (filled, _) = from_json(table, {"steps": [join, {"step": "distinct", "x": "region"}]})
    joined = after(table, filled)
    assert {*joined.columns} - {*table.columns} == {"region", "area"}
    assert joined.fetch("select count(*), sum(u2) from s1")[0][0] > 100
    with pytest.raises(Unasked, match="two columns of one name"):
        after(joined, filled)


def test_values_that_a_step_made_are_drawn_from_the_rows_so_far(alone):
    steps = [
        {"step": "keep_equal", "c": "shop", "v": "Ulm"},
        {"step": "derive_ratio", "n": "price", "m": "units"},
    ]
    keep, ratio, _ = from_json(
        alone, {"steps": [*steps, {"step": "statistic", "n": "ratio", "agg": "average"}]}
    )
    frame = after(after(alone, keep), ratio)
    shops = alone.cells[0].values("shop")
    assert len(frame.so_far.values("ratio")) == shops.count("Ulm") < len(shops)
