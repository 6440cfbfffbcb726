from pathlib import Path

import pytest

from datagen.tables import bundled_tables, profile_table, read_table
from trainer.contract.errors import BadData, NotFound


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
    with pytest.raises(NotFound, match="not a file"):
        read_table(tmp_path)


def test_byte_order_mark_is_not_part_of_the_first_name(tmp_path: Path):
    path = tmp_path / "bom.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert [*read_table(path).columns] == ["a", "b"]
