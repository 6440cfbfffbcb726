import json
from pathlib import Path

import pytest

from datagen.cli import main
from datagen.dataset.import_csv_agent import read_csv_agent
from datagen.episode import read_episodes
from trainer.contract.command.errors import BadData, NotFound

RIGHT, WRONG = "submit(df['a'].sum())", "submit(0)"


def turn(code: str, **execution: object) -> dict[str, object]:
    return {"turn_index": 0, "reasoning": "so", "code": code, "execution": execution}


def present(
    number: int, *codes: str, truth: object = None, hint: str | None = "sum a"
) -> dict[str, object]:
    gold, *others = ({"turns": [turn(code)], "final_answer": 6, "success": True} for code in codes)
    return {
        "episode_id": f"e{number}", "csv_source": "data/csv/little.csv", "verified": True,
        "question": {"id": "q", "question_text": f"[llm_gen] Sum {number}?", "hint": hint,
                     "difficulty": "VERY_HARD", "ground_truth": truth, "n_steps": 1},
        "gold_trace": gold, "consistency_traces": others, "source": "llm_gen",
    }  # fmt: skip


def old(number: int, *codes: str) -> dict[str, object]:
    gold, *others = ({"code_cells": ["x = 1", code], "final_answer": 6} for code in codes)
    return {
        "episode_id": f"e{number}", "csv_source": "little.csv", "verified": False,
        "question": {"id": "q", "question_text": f"Sum {number}?", "hint": None, "difficulty": "EASY"},
        "teacher_gold_trace": gold, "consistency_traces": others,
        "conversation_for_sft": {}, "rl_verification_data": {}, "triangulation_metadata": {},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "little.csv").write_text("a,b\n1,x\n2,y\n3,z\n")
    return tmp_path


def write(folder: Path, *episodes: dict[str, object]) -> Path:
    path = folder / "theirs.jsonl"
    path.write_text("".join(json.dumps(episode) + "\n" for episode in episodes))
    return path


def test_both_shapes_are_read(folder: Path):
    first, second = read_csv_agent(write(folder, present(1, RIGHT, WRONG), old(2, RIGHT)))
    assert (first.question.text, first.question.difficulty) == ("Sum 1?", "very hard")
    assert [a.hinted for a in first.attempts] == [True, False]
    assert first.attempts[0].replies == ["so\n\n```python\nsubmit(df['a'].sum())\n```"]
    assert len(second.attempts[0].replies) == 2
    assert (first.verified_by_csv_agent, second.verified_by_csv_agent) == (True, False)


def test_each_line_in_neither_shape_is_named(folder: Path):
    path = write(
        folder, present(1, RIGHT), {"question": {}}, {**present(2, RIGHT), "verified": None}
    )
    with pytest.raises(BadData) as caught:
        read_csv_agent(path)
    assert len(caught.value.faults) == 2
    assert all(
        f"{path}:{line}:" in fault for line, fault in zip((2, 3), caught.value.faults, strict=True)
    )
    with pytest.raises(BadData, match="no csv-agent episodes") as caught:
        read_csv_agent(write(folder, {"question": {}}, {"question": {}}))
    assert len(caught.value.faults) == 1
    with pytest.raises(NotFound):
        read_csv_agent(folder / "none.jsonl")


def test_attempts_are_run_again_and_judged_here(folder: Path, capsys: pytest.CaptureFixture[str]):
    """Their verdicts do not count: three of five must agree with gold, or the truth must be met."""
    path = write(
        folder,
        present(1, RIGHT, RIGHT, RIGHT, RIGHT),  # three agree
        present(2, RIGHT, RIGHT, WRONG, WRONG, WRONG),  # verified there, not here
        present(3, WRONG, RIGHT, WRONG, truth=6),  # known: attempts without the hint count
        present(4, RIGHT, truth=6),  # known, and only tried with the hint
        {**present(5, RIGHT), "csv_source": "gone.csv"},
        old(6, RIGHT, RIGHT, RIGHT, RIGHT),
    )
    code = main(
        ["import", str(path), "--tables", str(folder / "tables"), "--out", str(folder / "ours")]
    )
    assert code == 0
    said = capsys.readouterr().out
    assert "1 left out: gone.csv not found" in said
    assert "1 left out: only with hint" in said
    found = {e.question.text: e for e in read_episodes(folder / "ours" / "episodes.jsonl")}
    assert {text: e.verdict.verified for text, e in found.items()} == {
        "Sum 1?": True, "Sum 2?": False, "Sum 3?": True, "Sum 6?": True,
    }  # fmt: skip
    assert found["Sum 6?"].traces[-1].turns[0].feedback is not None
    assert (
        main(["export", str(folder / "ours" / "episodes.jsonl"), "--out", str(folder / "r")]) == 0
    )
