import datetime as dt
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episode import Reading
from datagen.questions.cells import Cells
from datagen.questions.joining import joinable, keys
from datagen.tables.table import profile_table, read_table


def table(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding)
    return path


def test_a_foreign_dialect_is_read_without_pandas(tmp_path: Path):
    text = "Stadt;Tag;Betrag;Rate\nKöln;03.02.2024;1.234,50 €;5 %\n;04.02.2024;(7,25);-\n"
    reading = Reading(
        encoding="cp1252",
        delimiter=";",
        decimal=",",
        thousands=".",
        missing=["-"],
        formats={"Tag": "%d.%m.%Y"},
    )
    cells = Cells(table(tmp_path, text, "cp1252"), reading)
    assert cells.rows == 2
    assert cells.text["Stadt"] == ["Köln", None]
    assert cells.numbers("Betrag") == [1234.5, -7.25]
    assert cells.numbers("Rate") == [5.0, None]
    assert cells.days("Tag") == [dt.date(2024, 2, 3), dt.date(2024, 2, 4)]


def test_values_follow_the_kind(tmp_path: Path):
    path = table(tmp_path, "a,b,c,d\n1,1.5,yes,x\n2.0,,no,NA\n")
    kinds = {"a": "integer", "b": "number", "c": "boolean"}
    cells = Cells(path, kinds=kinds)
    assert cells.values("a") == [1, 2]
    assert cells.values("b") == [1.5, None]
    assert cells.values("c") == [True, False]
    assert cells.values("d") == ["x", None]


def test_sentinels_are_missing_in_their_column_and_kept_texts_are_not(tmp_path: Path):
    path = table(tmp_path, "a,b\n-999,-999\nNA,1\n")
    cells = Cells(path, Reading(sentinels={"a": ["-999"]}, kept=["NA"]))
    assert cells.text == {"a": [None, "NA"], "b": ["-999", "1"]}


@pytest.mark.parametrize(
    "cells",
    [
        ["5-", "6"],
        ["\u22125", "6"],
        ["$5-", "$6"],
        ["-$5", "$6"],
        ["\u2212$5.5", "$6"],
        ["($5)", "$6"],
        ["9007199254740993", "9007199254740992"],
        ["-123456789012345678", "5"],
    ],
)
def test_both_routes_read_signs_and_long_numbers_alike(tmp_path: Path, cells: list[str]):
    path = table(tmp_path, "k,a\n" + "".join(f"r,{cell}\n" for cell in cells))
    profile = profile_table(path)
    frame = read_table(path, profile.reading)
    assert Cells.of(profile).values("a") == frame["a"].tolist()


def test_numbers_that_no_float_holds_are_not_counted_with(tmp_path: Path):
    rows = "".join(f"{2**60 + at},{at * at % 7}\n" for at in range(40))
    profile = profile_table(table(tmp_path, f"tweet,likes\n{rows}"))
    assert [column.meaning for column in profile.columns] == ["identifier", "amount"]


CELL = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(-1e6, 1e6).map(lambda x: f"{x:.4f}"),
    st.just(""),
)


@given(st.lists(st.tuples(CELL, CELL), min_size=3, max_size=30))
def test_numbers_are_those_of_the_reader(tmp_path_factory, rows: list[tuple[str, str]]):
    path = tmp_path_factory.mktemp("cells") / "table.csv"
    path.write_text("k,a,b\n" + "".join(f"r,{a},{b}\n" for a, b in rows), "utf-8")
    profile = profile_table(path)
    frame, cells = read_table(path, profile.reading), Cells.of(profile)
    for column in profile.columns:
        if column.numeric:
            expected = [None if math.isnan(x) else float(x) for x in frame[column.name].tolist()]
            assert cells.numbers(column.name) == pytest.approx(expected)


def test_keys_are_found_by_the_values_they_hold(repairs: Path, machines: Path):
    one, two = profile_table(repairs), profile_table(machines)
    assert keys([one, two]) == [("machine", "machine")]
    assert keys([two, one]) == []
    assert [(a.name, b.name) for a, b in joinable([two, one])] == [("repairs", "machines")]


def test_whole_numbers_refer_only_to_a_column_of_their_name(tmp_path: Path):
    for name, header in (("a", "size"), ("b", "id"), ("c", "size")):
        rows = "".join(f"{at},{name}{at}\n" for at in range(1, 9))
        (tmp_path / f"{name}.csv").write_text(f"{header},{name}\n{rows}", "utf-8")
    a, b, c = (profile_table(tmp_path / f"{name}.csv") for name in "abc")
    assert keys([a, b]) == []
    assert keys([a, c]) == [("size", "size")]
