"""What the demo trains on is short, and its job is the tiny recipe's. The story itself runs in CI."""

from pathlib import Path

from datagen.cli import main as datagen
from launcher.demo import MAX_LENGTH, TINY, _shortened, options
from trainer.contract.job import from_sources
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.templates import freeze, learn_format
from trainer.pretrained import find, load_tokenizer


def test_rows_have_at_most_160_tokens_and_few_are_dropped(tmp_path: Path):
    assert datagen(["tables", "--out", str(tmp_path / "t"), "--invent", "8", "--seed", "3"]) == 0
    csvs = [str(path) for path in sorted((tmp_path / "t").glob("*.csv"))]
    questions = ["--per-table", "26", *TINY]
    assert datagen(["episodes", *csvs, "--out", str(tmp_path), *questions]) == 0
    rows = tmp_path / "rows.jsonl"
    assert datagen(["export", str(tmp_path / "episodes.jsonl"), "--out", str(rows)]) == 0

    job = from_sources("tiny", flags=options(rows, tmp_path, 3))
    assert job.max_length == MAX_LENGTH == 160
    tokenizer = load_tokenizer(find(job))
    freeze(tokenizer)
    read = read_rows(rows)
    examples = encode_rows(
        rows, read, learn_format(tokenizer), max_length=job.max_length, overlong=job.overlong
    )
    assert max(examples.lengths) <= 160
    assert len(examples.dropped) < 0.15 * len(read.rows)
    assert any(len(row.messages) == 5 for row in read.rows)


def test_many_tables_are_shown_as_a_pattern():
    csvs = [f"d/t{n}.csv" for n in range(9)]
    assert _shortened(["episodes", *csvs, "--out", "d"]) == "episodes d/*.csv --out d"
    assert _shortened(["profile", "d/a.csv"]) == "profile d/a.csv"
