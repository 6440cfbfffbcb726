from pathlib import Path

import pytest

from datagen.sandbox import Sandbox
from datagen.tables.infer import ReadingOptions
from datagen.tables.table import bundled_tables, profile_table, read_table
from trainer.contract.command.errors import BadData, NotFound


def test_profile_tells_kinds_gaps_and_ranges(shop: Path):
    profile = profile_table(shop)
    kinds = {c.name: (c.kind, c.missing, c.distinct) for c in profile.columns}
    assert kinds == {
        "city": ("text", 1, 3),
        "amount": ("number", 0, 8),
        "units": ("integer", 1, 7),
        "day": ("date", 0, 8),
    }
    assert [c.name for c in profile.categories()] == ["city"]
    assert [c.name for c in profile.amounts()] == ["amount", "units"]
    assert (profile.columns[1].low, profile.columns[1].high) == (1.25, 30.0)


@pytest.mark.parametrize("path", bundled_tables(), ids=lambda p: p.stem)
def test_bundled_tables_profile_and_state_a_licence(path: Path):
    profile = profile_table(path)
    assert profile.rows >= 16
    assert f"`{path.name}`" in path.with_name("README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty file"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n3,4,5\n", "bad.csv:3: 3 fields, the header has 2"),
        (b"PK\x03\x04rest", "an Excel workbook"),
    ],
)
def test_bad_csv_is_one_message_naming_the_file(tmp_path: Path, content: bytes, cause: str):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(BadData, match=cause) as found:
        read_table(path)
    assert str(path) in found.value.cause
    assert found.value.hint


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(NotFound, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(NotFound, match="is a folder"):
        read_table(tmp_path)


def test_byte_order_mark_is_not_part_of_the_first_name(tmp_path: Path):
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert [*read_table(path).columns] == ["a", "b"]


MEANINGS = """\
customer_id;order;city;spent;note;day;member;firm;gone;zip
7;1;Ulm;1.234,50 €;came by train;13.02.2024;yes;ACME;;01234
7;2;Bonn;12,00 €;came by car;01.03.2024;no;ACME;;20095
9;3;Ulm;7,25 €;on foot;02.03.2024;yes;ACME;;04109
9;4;Bonn;99,00 €;?;?;;ACME;;01234
"""


def test_profile_tells_what_columns_are_good_for(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(MEANINGS, "utf-8")
    profile = profile_table(path)
    found = {c.name: (c.kind, c.meaning) for c in profile.columns}
    assert found == {
        "customer_id": ("integer", "identifier"),
        "order": ("integer", "identifier"),
        "city": ("text", "category"),
        "spent": ("number", "amount"),
        "note": ("text", "text"),
        "day": ("date", "date"),
        "member": ("boolean", "category"),
        "firm": ("text", "constant"),
        "gone": ("number", "empty"),
        "zip": ("text", "identifier"),
    }
    columns = {c.name: c for c in profile.columns}
    assert [c.name for c in profile.amounts()] == ["spent"]
    assert (columns["spent"].low, columns["spent"].high, columns["spent"].unit) == (
        7.25,
        1234.5,
        "€",
    )
    assert (columns["day"].first, columns["day"].last, columns["day"].format) == (
        "2024-02-13T00:00:00",
        "2024-03-02T00:00:00",
        "%d.%m.%Y",
    )
    assert columns["city"].examples == ("Bonn", "Ulm")
    assert (columns["gone"].low, columns["gone"].missing, columns["note"].missing) == (None, 4, 1)
    again = profile_table(path, profile.reading)
    assert again.columns == profile.columns


@pytest.mark.parametrize(
    ("name", "numbers", "meaning"),
    [
        ("year", [2007, 2008, 2009], "calendar"),
        ("Year Built", [1890, 1999, 2021], "calendar"),
        ("modelYear", [1990, 1999, 1990], "calendar"),
        ("Jahr", [1990, 1999, 1990], "calendar"),
        ("years", [1990, 1999, 1990], "amount"),
        ("year", [3, 5, 3], "amount"),
        ("yearly_income", [1990, 1999, 1990], "amount"),
        ("month", [12, 7, 7], "calendar"),
        ("birth_month", [12, 7, 7], "calendar"),
        ("monthNum", [12, 7, 7], "calendar"),
        ("month", [13, 7, 7], "amount"),
        ("months", [12, 7, 7], "amount"),
        ("month_total", [12, 7, 7], "amount"),
        ("day", [31, 7, 7], "calendar"),
        ("hour", [0, 23, 7], "calendar"),
        ("quarter", [4, 4, 2], "calendar"),
        ("week", [52, 4, 4], "calendar"),
        ("weekday", [6, 4, 4], "calendar"),
        ("hours", [0, 23, 7], "amount"),
        ("month", [1.5, 2, 3], "amount"),
    ],
)
def test_parts_of_a_calendar_are_no_amounts(tmp_path: Path, name, numbers, meaning):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(map(str, [name, *numbers, ""])), "utf-8")
    profile = profile_table(path)
    assert profile.columns[0].meaning == meaning
    assert len(profile.amounts()) == (len({*numbers}) > 2)  # of the demo's questions


def test_one_row_and_one_column(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text("a\n5\n", "utf-8")
    profile = profile_table(path)
    assert (profile.rows, [c.meaning for c in profile.columns]) == (1, ["amount"])


def test_the_sandbox_sees_what_the_profile_saw(tmp_path: Path):
    path = tmp_path / "t.csv"
    path.write_text(MEANINGS, "cp1252")
    reading = profile_table(path, given=ReadingOptions(kinds={"order": "text"})).reading
    expected = ["str", 1352.75, "2024-03-02T00:00:00", 2, 3]
    code = "submit([str(df['order'].dtype), round(df.spent.sum(), 2), df.day.max(), int(df.member.sum()), int(df.zip.nunique())])"
    with Sandbox({"t": (path, reading)}) as sandbox, sandbox.episode() as session:
        assert session.run(code).answer == expected
    with Sandbox({"t": path}) as sandbox, sandbox.episode() as session:
        assert session.run(code).answer == ["int64", *expected[1:]]
