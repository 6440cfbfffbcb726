"""Which tables an episode file names, whether they are the same, and laying both out elsewhere."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.command.errors import BadData, NotFound
from trainer.contract.episodes import check, lay_out, tables_of


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def episodes(path: Path, *lines: dict[str, bytes]) -> Path:
    """An episode file whose lines name these tables; the tables are written too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for tables in lines:
        for name, content in tables.items():
            (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
            (path.parent / name).write_bytes(content)
        named = [{"path": name, "sha256": sha(content)} for name, content in tables.items()]
        written.append(json.dumps({"v": 1, "tables": named, "more": 1}))
    path.write_text("\n".join(written) + "\n")
    return path


def test_the_tables_of_all_lines_are_checked_by_content(tmp_path):
    path = episodes(tmp_path / "e" / "x.jsonl", {"../a.csv": b"A"}, {"b.csv": b"B", "c.csv": b"C"})
    assert tables_of(path) == {"../a.csv": sha(b"A"), "b.csv": sha(b"B"), "c.csv": sha(b"C")}
    assert {p.name for p in check(path).values()} == {"a.csv", "b.csv", "c.csv"}
    (tmp_path / "e" / "b.csv").write_bytes(b"changed")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(BadData) as caught:
        check(path)
    gone, changed = caught.value.faults
    assert "../a.csv is missing" in gone
    assert sha(b"B")[:12] in changed
    assert sha(b"changed")[:12] in changed


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "x.jsonl:2: not an episode"),
        ("[]", "x.jsonl:2: not an episode"),
        ('{"tables": []}', "x.jsonl:2: not an episode"),
        ('{"tables": [{"path": "a.csv"}]}', "x.jsonl:2: not an episode"),
        ('{"tables": [{"path": "/etc/a", "sha256": "00"}]}', "not a path relative"),
        ('{"tables": [{"path": "a.csv", "sha256": "../00"}]}', "is not a SHA-256"),
        (f'{{"tables": [{{"path": "a.csv", "sha256": "{64 * "0"}"}}]}}', "two different SHA-256"),
    ],
)
def test_a_line_that_names_no_table_is_told_with_its_number(tmp_path, line, why):
    path = episodes(tmp_path / "x.jsonl", {"a.csv": b"A"})
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(BadData) as caught:
        tables_of(path)
    assert why in caught.value.faults[0]


def test_no_file_and_no_episode(tmp_path):
    with pytest.raises(NotFound):
        tables_of(tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl").write_text("")
    with pytest.raises(BadData):
        tables_of(tmp_path / "x.jsonl")
    with pytest.raises(BadData, match="cannot be read"):
        tables_of(tmp_path)


PARTS = st.sampled_from(["a", "b", "..", "."])
NAMES = st.builds(
    lambda parts, last: "/".join([*parts, last]), st.lists(PARTS, max_size=5), st.just("t.csv")
)


@given(names=st.lists(NAMES, min_size=1, max_size=5))
def test_wherever_tables_lie_they_are_laid_out_within_the_folder(tmp_path_factory, names):
    top = tmp_path_factory.mktemp("e")
    home = top.joinpath(*["x"] * 6)
    inbox, out = top / "inbox", top / "out"
    inbox.mkdir()
    home.mkdir(parents=True)
    tables = [{"path": name, "sha256": sha(b"T")} for name in names]
    (home / "e.jsonl").write_text(json.dumps({"tables": tables}) + "\n")
    (inbox / sha(b"T")).write_bytes(b"T")
    lay_out(home / "e.jsonl", out, lambda digest: inbox / digest)
    there = lay_out(home / "e.jsonl", out, lambda digest: inbox / digest)  # again is no error
    assert there.read_bytes() == (home / "e.jsonl").read_bytes()
    assert all(path.resolve().is_relative_to(out) for path in check(there).values())


@given(block=st.binary(max_size=80))
def test_any_bytes_are_episodes_or_a_fault(tmp_path_factory, block):
    path = tmp_path_factory.mktemp("e") / "x.jsonl"
    path.write_bytes(block)
    with suppress(BadData):
        assert tables_of(path)
