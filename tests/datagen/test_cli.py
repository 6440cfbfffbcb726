import json
from pathlib import Path

import pytest

from datagen.cli import main

DEMO = ["--families", "basic", "--prompt", "brief", "--teacher", "scripted"]


def test_tables_to_rows(tmp_path: Path, capsys):
    tables, out = tmp_path / "tables", tmp_path / "episodes"
    assert main(["tables", "--out", str(tables), "--invent", "3", "--seed", "5"]) == 0
    csvs = sorted(str(p) for p in tables.glob("*.csv") if p.stem != "planes")
    assert len(csvs) == 6
    assert main(["profile", "--json", *csvs]) == 0
    capsys.readouterr()
    assert main(["episodes", *csvs, "--out", str(out), "--per-table", "5", *DEMO]) == 0
    assert "25 of 25 episodes verified" in capsys.readouterr().out
    assert main(["split", str(out / "episodes.jsonl"), "--hold-out", "penguins"]) == 0
    rows = tmp_path / "rows.jsonl"
    assert main(["export", str(out / "train.jsonl"), "--out", str(rows)]) == 0
    assert all("messages" in json.loads(line) for line in rows.read_text().splitlines())


def test_existing_episodes_are_not_replaced(tmp_path: Path, shop: Path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "episodes.jsonl").write_text("precious")
    assert main(["episodes", str(shop), "--out", str(tmp_path / "out"), *DEMO]) == 5
    assert (tmp_path / "out" / "episodes.jsonl").read_text() == "precious"
    assert "already exists" in capsys.readouterr().err


def test_failures_have_their_own_codes(tmp_path: Path, capsys):
    assert main(["profile", str(tmp_path / "no.csv")]) == 11
    assert main(["export", str(tmp_path / "no.jsonl"), "--out", str(tmp_path / "o")]) == 11
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"v": 1}\nnot json\n')
    assert main(["export", str(bad), "--out", str(tmp_path / "o")]) == 3
    error = capsys.readouterr().err
    assert f"{bad}:1" in error
    assert f"{bad}:2" not in error  # a file of something else: one line of it tells enough
    assert (
        main(["evaluate", "--model", str(tmp_path), "--episodes", str(bad)]) == 11
    )  # no model there
    assert main(["evaluate", "--model", "bundled:tiny", "--episodes", str(bad)]) == 3
    assert main(["tables", "--out", str(tmp_path), "--invent", "99"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        "profile {}",
        "questions {} --out {}/new",
        "episodes --questions {} --out {}/new --teacher scripted",
        "episodes {}/shop.csv --out {}/new --teacher recorded:{}",
        "split {}",
        "score {}",
        "import {} --tables {} --out {}/new",
    ],
)
def test_a_folder_in_place_of_a_file_is_called_one(tmp_path: Path, capsys, words: str):
    (tmp_path / "shop.csv").write_text("city,sales\nBern,3\nBasel,5\n", "utf-8")
    assert main([word.format(*[tmp_path] * 3) for word in words.split()]) == 11
    said = capsys.readouterr().err
    assert f"{tmp_path} is a folder" in said
    assert "-> give the" in said
