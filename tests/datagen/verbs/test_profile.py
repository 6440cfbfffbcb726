"""datagen profile: what it prints, and the flags that say how a CSV is read."""

import json
import re
import shlex
from pathlib import Path

import pytest

from datagen.cli import main

CONTENT = """\
name;price;day;n
Ann;"1.234,50 €";01/02/2024;-999
Bob;"2,00 €";03/04/2024;5
Cid;?;03/04/2024;-999
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(CONTENT, "utf-8")
    return path


def printed(capsys, *words: str) -> str:
    assert main(["profile", *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_what_was_inferred_is_printed(path, capsys):
    out = printed(capsys, str(path))
    assert "t: 3 rows, 4 columns; utf-8, semicolon, decimal ',', groups '.'" in out
    assert "price number amount 2 values, 1 missing ('?') 2 to 1234.5 €" in out
    assert "n integer constant 1 values, 2 missing ('-999')" in out
    assert "note: day: left as text: its dates may be %d/%m/%Y or %m/%d/%Y" in out


def test_flags_are_kept_to(path, capsys):
    words = ["--date-format", "day=%d/%m/%Y", "--not-missing", "-999", "--missing", "Bob"]
    out = printed(capsys, str(path), *words, "--kind", "price=text")
    assert "note" not in out
    assert "day date date 2 values 2024-02-01 to 2024-04-03 as %d/%m/%Y" in out
    assert "n integer amount 2 values -999 to 5" in out
    assert "name text identifier 2 values, 1 missing" in out or "name text text 2 values" in out
    assert "price text" in out


def test_json_is_json(path, capsys):
    record = json.loads(printed(capsys, "--json", str(path)))
    assert record["reading"]["delimiter"] == ";"
    assert record["columns"][1]["unit"] == "€"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--delimiter", ";;"], "not one ASCII character"),
        (["--encoding", "nonsense"], "not an encoding that Python knows"),
        (["--kind", "n=money"], "not COL=KIND"),
        (["--date-format", "day=iso"], "not COL=FORMAT"),
    ],
)
def test_wrong_flags(path, words, said, capsys):
    assert main(["profile", str(path), *words]) == 2
    assert said in capsys.readouterr().err


def test_column_that_is_not_there(path, capsys):
    assert main(["profile", str(path), "--kind", "nn=text"]) == 2
    assert "no column 'nn'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--delimiter", "tab"], ["--encoding", "latin-1"]])
def test_delimiter_and_encoding(tmp_path, words, capsys):
    path = tmp_path / "t.csv"
    path.write_bytes("ä\tb\n1\t2\n".encode("latin-1"))
    assert "2 columns; " in printed(capsys, str(path), *words)


def test_a_value_of_two_lines_is_shown_in_one(tmp_path, capsys):
    (tmp_path / "t.csv").write_text('a,b\n"x\n y",1\n"x\n y",2\n')
    assert main(["profile", str(tmp_path / "t.csv")]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  x y")


def test_files_that_cannot_be_read_are_all_named_after_the_others(path, tmp_path, capsys):
    for name, content in {"empty": b"", "picture": b"%PDF-1.7", "bare": b"a,b\n"}.items():
        (tmp_path / f"{name}.csv").write_bytes(content)
    assert main(["profile", str(tmp_path / "empty.csv")]) == 3
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'empty.csv'}: empty file\n")
    names = ["empty", "t", "picture", "bare"]
    assert main(["profile", *(str(tmp_path / f"{name}.csv") for name in names)]) == 3
    shown = capsys.readouterr()
    assert shown.out.startswith("t: 3 rows")
    head, *faults, hint = shown.err.splitlines()
    assert head == "error: 3 of 4 files cannot be read"
    assert [fault.split(": ")[0].split("/")[-1] for fault in faults] == [
        "empty.csv",
        "picture.csv",
        "bare.csv",
    ]
    assert hint == "  -> fix them, or leave them out"


def test_no_header_and_lines_above_it(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("As of 2025\n1,Ann\n2,Bob\n")
    out = printed(capsys, str(path), "--no-header", "--skip-lines", "1")
    assert "2 rows, 2 columns" in out
    assert "no header, lines skipped: 1" in out
    assert "column_2 text" in out
    assert main(["profile", str(path), "--skip-lines", "one"]) == 2
    assert "'one' is not a number of lines" in capsys.readouterr().err


def column(*texts: str, delimiter: str = ",") -> str:
    return f"x{delimiter}other\n" + "".join(f"{text}{delimiter}z\n" for text in texts)


@pytest.mark.parametrize(
    "content",
    [
        column("1.5", "-inf", "2", "1e400", "4"),
        column("4", "s/d", "7", "9"),
        column("4", "--n", "7", "9"),
        column("red", "unknown", "blue"),
        column("-1", "12", "30", "-1"),
        column("-999", "5", "7", "8"),
        column("9999", "5", "7", "9999"),
        column("NA", "DE", "FR"),
        column("2E2", "3E1"),
        column("1e5", "20"),
        column("1.250", "3.500", delimiter=";"),
        column('"1,234"', '"2,500"'),
        column("01/02/2024", "03/04/2024"),
        column("13.02.55", "14.03.21"),
        column("2024-03-30T12:00:00+01:00", "2024-03-30T12:00:00-05:00"),
        column("20240131", "20240228", "20240301"),
        column("2024-01-02", "9999-12-31", "9999-12-31"),
        column("31.01.2024", "01.01.1900", "01.01.1900"),
        "city, land;size, m\nUlm, DE;5, 2\nJena, DE;7, 3\n",
        "1,Ann\n2,Bob\n3,Cid\n",
    ],
)
def test_the_flag_that_a_note_names_answers_the_doubt(tmp_path, content, capsys):
    """Each note's command is typed as it stands, and what it doubted is then read the other way."""
    path = tmp_path / "t.csv"
    path.write_text(content, "utf-8")
    (note,) = json.loads(printed(capsys, "--json", str(path)))["notes"]
    flags = re.search(r"(?:\(|with |use )(--.*?)\)?(?: it is .*)?$", note)
    assert flags, note
    again = json.loads(printed(capsys, "--json", str(path), *shlex.split(flags[1])))
    assert note not in again["notes"]
