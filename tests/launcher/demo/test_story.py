"""What the demos train on fits their rows, and the summary fits a terminal. The stories run in CI (--tiny) and in
tests/system/test_demo.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from datagen.cli import main as datagen
from launcher.demo import base_model, summary
from launcher.demo.settings import REAL, TINY
from launcher.demo.story import _shortened
from trainer.contract.job import from_sources
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.templates import freeze, learn_format
from trainer.pretrained import find, load_tokenizer


def made(folder: Path, *how: str, tables: int) -> Path:
    """Rows of a demo, of fewer tables."""
    csvs = folder / "t"
    assert datagen(["tables", "--out", str(csvs), "--invent", str(tables), "--only-invented"]) == 0
    found = [str(path) for path in sorted(csvs.glob("*.csv"))]
    assert len(found) == tables
    assert datagen(["episodes", *found, "--out", str(folder), "--teacher", "scripted", *how]) == 0
    rows = folder / "rows.jsonl"
    assert datagen(["export", str(folder / "episodes.jsonl"), "--out", str(rows)]) == 0
    return rows


def test_rows_of_the_tiny_demo_have_at_most_160_tokens_and_few_are_dropped(tmp_path: Path):
    ((families, _),) = TINY.questions
    how = ["--families", families, "--prompt", TINY.prompt, "--per-table", "26"]
    rows = made(tmp_path, *how, tables=4)
    job = from_sources(TINY.recipe, flags={"data": str(rows), **dict(TINY.job)})
    assert job.max_length == 160
    tokenizer = load_tokenizer(find(job))
    freeze(tokenizer)
    read = read_rows(rows)
    examples = encode_rows(
        rows, read, learn_format(tokenizer), max_length=job.max_length, overlong=job.overlong
    )
    assert max(examples.lengths) <= 160
    assert len(examples.dropped) < 0.15 * len(read.rows)


def test_the_real_demo_asks_easy_and_hard_questions_answered_in_one_block(tmp_path: Path):
    _, (families, _) = REAL.questions
    how = ["--source", "template", "--families", families, "--prompt", REAL.prompt]
    rows = made(tmp_path, *how, "--per-table", "12", tables=2)
    read = read_rows(rows).rows
    assert {len(row.messages) for row in read} <= {3, 5}
    for row in read:
        assert "submit(" in row.messages[0]["content"]  # the prompt states the answer's form
        assert row.messages[-1]["content"].count("```") == 2
        assert "submit(" in row.messages[-1]["content"]
    episodes = (tmp_path / "episodes.jsonl").read_text().splitlines()
    found = {json.loads(line)["question"]["difficulty"] for line in episodes}
    assert found >= {"easy", "medium", "hard"}


def comparison() -> dict[str, Any]:
    row = {"n": 20, "base": 0.0, "adapter": 0.85}
    return {
        **row,
        "n": 80,
        "mcnemar_p": 3e-21,
        "tables": dict.fromkeys("abcdef"),
        "difficulties": dict.fromkeys(summary.DIFFICULTIES, row),
        "verdict": "the adapter is BETTER than the base by +0.850",
    }


@pytest.mark.parametrize("model", ["bundled:tiny", "/a/folder/SmolLM2-135M-Instruct"])
def test_the_summary_fits_a_terminal(tmp_path: Path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/20261130-1752-d46a")
    (folder / "evaluation").mkdir(parents=True)
    ends = (
        [(True, None)] * 5
        + [(False, "wrong")] * 4
        + [(False, "crash")] * 2
        + [(False, "no submit")]
    )
    verdicts = [{"verdict": {"verified": right, "category": kind}} for right, kind in ends]
    for name in ("base", "adapter"):
        path = folder / "evaluation" / f"{name}.jsonl"
        path.write_text("".join(json.dumps(verdict) + "\n" for verdict in verdicts))
    job = from_sources("demo", flags={"model": model})
    took = summary.Took(total=471, evaluation=80)
    found = summary.lines(folder, comparison(), job, took)
    assert len(found) <= 24
    assert max(map(len, found)) <= 80
    assert "base: 5 right, 1 gave no answer, 2 ended in an error, 4 were wrong" in found
    assert "very hard          20     0.00     0.85" in found


@pytest.mark.parametrize(
    ("flags", "fast"), [("fpu avx512f", False), ("fpu avx512_bf16", True), ("amx_bf16", True)]
)
def test_bf16_is_taken_where_the_cpu_multiplies_it(tmp_path, monkeypatch, flags, fast):
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n")
    monkeypatch.setattr(base_model, "CPU_FLAGS", cpu)
    assert base_model.has_fast_bf16() is fast


def test_many_tables_are_shown_as_a_pattern():
    csvs = [f"d/t{n}.csv" for n in range(9)]
    assert _shortened(["episodes", *csvs, "--out", "d"]) == "episodes 'd/*.csv' --out d".replace(
        "'", ""
    )
    assert _shortened(["profile", "d/a.csv"]) == "profile d/a.csv"
