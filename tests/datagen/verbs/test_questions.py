import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.episode import Question, TableRef
from trainer.contract.command.errors import Usage

SHOP = "city,amount,units\n" + "".join(
    f"{'Ulm Bonn Jena'.split()[at * at % 3]},{at * 7 % 50 + at / 8},{at % 6}\n" for at in range(60)
)


def test_what_to_type_next_can_be_typed(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    out = tmp_path / "my 'questions'" / "a.jsonl"
    assert (
        main(["questions", str(tmp_path / "shop.csv"), "--out", str(out), "--per-table", "2"]) == 0
    )
    *_, command = capsys.readouterr().out.splitlines()
    assert shlex.split(command.partition(": ")[2])[2:4] == ["--questions", str(out)]


def test_questions_are_written_and_counted(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    out = tmp_path / "out" / "questions.jsonl"
    arguments = ["questions", str(tmp_path / "shop.csv"), "--out", str(out), "--per-table", "6"]
    assert main(arguments) == 0
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    questions = [Question.model_validate(row["question"]) for row in rows]
    assert len(questions) == 6
    assert {q.source for q in questions} == {"template", "procedural"}
    for row in rows:
        (ref,) = (TableRef.model_validate(table) for table in row["tables"])
        assert (out.parent / ref.path).resolve() == tmp_path / "shop.csv"
    printed = capsys.readouterr().out
    assert "shop: 3 template questions" in printed
    assert f"6 questions: {out}" in printed
    assert "only" not in printed
    assert "DISAGREE" not in printed
    assert main(arguments) != 0
    assert "already exists" in capsys.readouterr().err


def test_basic_families_are_those_of_the_demo(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    out = tmp_path / "questions.jsonl"
    flags = ["--families", "basic", "--per-table", "13", "--json"]
    assert main(["questions", str(tmp_path / "shop.csv"), "--out", str(out), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["questions"] == len(out.read_text("utf-8").splitlines())
    assert {"aggregate", "count_where", "group_top"} <= {*told["made"]}
    assert told["disagreements"] == []


def test_named_families_are_asked_alone_and_fill_the_count(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    out = tmp_path / "questions.jsonl"
    flags = ["--families", "pearson, percentile,group_share", "--per-table", "20", "--json"]
    assert main(["questions", str(tmp_path / "shop.csv"), "--out", str(out), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {*told["made"]} == {"pearson", "percentile", "group_share"}
    assert Counter(told["made"])["percentile"] > 4  # what all families together may ask of one


@pytest.mark.parametrize("verb", ["questions", "episodes"])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--families", "pearsn,slope"], "nearest are: pearson"),
        (["--families", "aggregate"], "basic (the demo's simple questions)"),
        (["--families", "all,slope"], "'all' cannot be in a list of families"),
        (["--families", ","], "the list is empty"),
        (["--families", "slope", "--source", "procedural"], "leave one of them out"),
    ],
)
def test_wrong_families(tmp_path: Path, verb: str, flags: list[str], said: str, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    out = tmp_path / "out"
    assert main([verb, str(tmp_path / "shop.csv"), "--out", str(out), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_the_reading_flags_reach_the_questions(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP.replace("Ulm", "gone"), "utf-8")
    out, shop = tmp_path / "questions.jsonl", str(tmp_path / "shop.csv")
    flags = ["--out", str(out), "--per-table", "4", "--families", "basic"]
    assert main(["questions", shop, *flags, "--kind", "nn=text"]) == 2
    assert "no column 'nn'" in capsys.readouterr().err
    assert not out.exists()
    assert main(["questions", shop, *flags, "--missing", "gone"]) == 0
    (table,) = json.loads(out.read_text("utf-8").splitlines()[0])["tables"]
    assert table["reading"]["missing"] == ["gone"]
    assert "gone" not in table["columns"][0]["top"]
    assert f"--questions {out}" in capsys.readouterr().out


def test_a_family_is_explained_without_a_file(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    assert main(["questions", str(tmp_path / "shop.csv"), "--explain", "pearson"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r'^question  .*"(amount|units)"', printed, re.MULTILINE)
    assert [*tmp_path.iterdir()] == [tmp_path / "shop.csv"]


def test_a_table_that_gets_fewer_than_asked_says_why(tmp_path: Path, capsys):
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    (tmp_path / "few.csv").write_text("place,size\nRome,1\nPisa,2\nBari,3\n", "utf-8")
    paths = [str(tmp_path / name) for name in ("shop.csv", "few.csv")]
    flags = ["--per-table", "8", "--source", "template"]
    assert main(["questions", *paths, "--out", str(tmp_path / "a.jsonl"), *flags]) == 0
    told = capsys.readouterr()
    (line,) = [line for line in told.out.splitlines() if ": only " in line]
    assert re.match(r"few: only [0-7] of 8 questions: \S", line)
    made = len((tmp_path / "a.jsonl").read_text("utf-8").splitlines())
    assert f"making questions: {made} in " in told.err
    assert main(["questions", *paths, "--out", str(tmp_path / "b.jsonl"), *flags, "--json"]) == 0
    (short,) = json.loads(capsys.readouterr().out)["short"]
    assert short["tables"] == ["few"]
    assert short["asked"] == 8 == short["made"] + 16 - made
    assert line.startswith(f"few: only {short['made']} of 8")


def test_tables_that_give_no_question_leave_no_file(tmp_path: Path, capsys):
    (tmp_path / "one.csv").write_text("x\n1\n", "utf-8")
    out = tmp_path / "out" / "questions.jsonl"
    assert main(["questions", str(tmp_path / "one.csv"), "--out", str(out)]) == 3
    assert "no questions can be made from these tables" in capsys.readouterr().err
    assert not out.parent.exists()


def test_a_table_that_cannot_be_read_is_left_out_and_named(tmp_path: Path, capsys, monkeypatch):
    """One number too large for a float, a page and a fault of the reader: the good tables are asked about."""
    (tmp_path / "shop.csv").write_text(SHOP, "utf-8")
    (tmp_path / "large.csv").write_text(SHOP.replace("\nBonn,", "\nBonn,1e400 ", 1), "utf-8")
    (tmp_path / "inf.csv").write_text(SHOP + "Bonn,inf,3\n", "utf-8")
    (tmp_path / "page.csv").write_text("<!DOCTYPE html>\n<p>\n", "utf-8")
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n", "utf-8")
    from datagen.tables import table

    profile = table.profile_table

    def failing(path: Path, **given):
        if path.stem == "odd":
            raise ZeroDivisionError("by nothing")
        return profile(path, **given)

    monkeypatch.setattr(table, "profile_table", failing)
    files = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    out = tmp_path / "out" / "questions.jsonl"
    flags = ["--families", "basic", "--per-table", "5", "--json"]
    assert main(["questions", *files, "--out", str(out), *flags]) == 0
    shown = capsys.readouterr()
    left_out = json.loads(shown.out)["left_out"]
    assert [line.split(": ")[0] for line in left_out] == [
        str(tmp_path / "odd.csv"),
        str(tmp_path / "page.csv"),
    ]
    assert "ZeroDivisionError: by nothing" in left_out[0]
    lines = shown.err.splitlines()
    assert lines[:3] == [*(f"left out: {line}" for line in left_out), "2 of 5 tables are left out"]
    assert lines[3].startswith("2 of 3 tables have notes on how they are read: datagen profile ")
    words = shlex.split(lines[3].partition(": ")[2])
    assert main(words[1:]) == 0
    assert "note: amount: " in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    asked = {(row["tables"][0]["name"], str(row["question"]["text"])) for row in rows}
    assert {name for name, _ in asked} == {"shop", "large", "inf"}
    assert not [text for name, text in asked if name != "shop" and "mean of amount" in text]
    assert main(["questions", files[-2], "--out", str(tmp_path / "b.jsonl")]) == 3
    assert "not a CSV but an HTML page" in capsys.readouterr().err
    assert main(["questions", files[-1], "gone.csv", "--out", str(tmp_path / "b.jsonl")]) != 0
    assert "gone.csv: no such file" in capsys.readouterr().err


def test_a_question_of_a_family_is_explained(shop: Path, tmp_path: Path, capsys):
    record = (
        "[rows_below]\nwordings = ['How many rows have {n} below {t}?']\nplan = 'I count.'\n"
        "slots = { n = 'amount', t = 'threshold n' }\ncode = 'answer = (df[{n}] < {t}).sum()'\n"
        "sql = 'select count(*) from known({n}) where {n} < {t}'\nanswer = 'integer'\n"
    )
    path = tmp_path / "mine.toml"
    path.write_text(record, "utf-8")
    words = ["questions", str(shop), "--families", str(path), "--explain"]
    assert main([*words, "rows_below"]) == 0
    said = capsys.readouterr().out
    assert "question  How many rows have" in said
    assert "SQL       select count(*)" in said
    assert "agree     yes" in said
    assert main([*words, "row_below"]) == Usage.exit_code
    assert "the nearest are: rows_below" in capsys.readouterr().err
