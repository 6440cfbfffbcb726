"""A run folder as a finished, evaluated run leaves it, with text that tries to be markup."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launcher.runs.run_folder import Run
from trainer.contract import events
from trainer.contract.manifest import Manifest

FORGED = "</script><script>document.title='forged'</script><b>bold</b>"


HELD_OUT = events.HeldOut(
    step=2, base_loss=2.31, loss=1.04, better=5, worse=0, p=0.0625,
    rows=[events.HeldOutRow(line=line, turns=[(10, 2.31, 1.04)]) for line in range(1, 6)],
)  # fmt: skip
DIVERGENCE = events.Divergence(step=2, each=[("Who?", 0.25), (FORGED, 0.5), ("Why?", 0.125)])


def make_run(folder: Path, *, questions: int = 4, old: bool = False) -> Run:
    """Write everything that a report reads; ``old``: as the trainer wrote it before it measured the base."""
    (folder / "evaluation").mkdir(parents=True)
    run = Run("run-1", folder)
    with events.Writer(run.events) as writer:
        writer.emit(
            events.Plan(
                device="a card", precision="bf16", pass_tokens=8192, passes=1.0, rows=10, dropped_rows=2,
                tokens=1000, trained_tokens=300, steps=3, epochs=1.0, trainable_parameters=1234,
                predicted_bytes=3 << 30,
            )
        )  # fmt: skip
        writer.emit(
            events.Data(lengths=[(50, 3), (100, 7)], shown=[[(FORGED, False), ("submit(1)", True)]])
        )
        for step in (1, 2, 3):
            writer.emit(
                events.Step(
                    step=step, steps=3, epoch=step / 3, loss=3.0 / step, lr=1e-4, grad_norm=1.0,
                    tokens=step * 100, trained_tokens=step * 30, tokens_per_second=100.0,
                    trained_tokens_per_second=30.0, seconds_left=1.0, memory_bytes=1,
                )
            )  # fmt: skip
        writer.emit(events.Eval(step=2, loss=1.75))
        writer.emit(events.Sample(step=2, prompt="What?", text=FORGED))
        if not old:
            for label, step in (("base", 0), ("adapter", 1), ("adapter", 2)):
                for line in range(1, 6):
                    text = f"{label} {step} {FORGED}"
                    writer.emit(
                        events.Sample(
                            step=step, prompt=f"Q{line}", text=text, label=label, line=line,
                            reference=f"truth {FORGED}",
                        )
                    )  # fmt: skip
            writer.emit(HELD_OUT)
            writer.emit(DIVERGENCE)
        writer.emit(events.Warning(message=FORGED))
        writer.emit(events.Done(manifest="manifest.json"))
    entries = [
        {
            "what": "created",
            "stage": "fact",
            "time": 0.5,
            "facts": {"id": "run-1", "where": "here"},
        },
        {"what": "quote", "stage": "fact", "time": 1.0, "facts": {"most": 2.0, "gpu": FORGED}},
    ]
    run.journal.write_text("".join(json.dumps({**entry, "v": 1}) + "\n" for entry in entries))
    Manifest(
        complete=True, created=datetime(2026, 1, 2, 3, 4, tzinfo=UTC).isoformat(), files={}, job_hash="a" * 64, data_sha256="b" * 64,
        base_model="me/model", precision="bf16", revision=None, template_sha256="c" * 64, versions={"torch": "2"}, device="a card",
        seed=0, metrics={}, reload_proof=None,
    ).write(run.manifest)  # fmt: skip
    row = {
        "n": 4,
        "base": 0.25,
        "adapter": 0.75,
        "difference": 0.5,
        "wins": 3,
        "losses": 1,
        "mcnemar_p": 0.02,
        "intervals": {"base": [0.0, 0.5], "adapter": [0.5, 1.0]},
    }
    groups: dict[str, Any] = {name: {"one": row, FORGED: row} for name in ("families", "tables")}
    probed = {"n": 4, "accuracy": 0.125, "plain": 0.75, "difference": -0.625, "mcnemar_p": 0.1}
    ceiling = {"model": FORGED, "n": 4, "accuracy": 0.875, "interval": [0.5, 1.0]}
    groups |= {"floor": {"adapter": probed}, "ceiling": ceiling, "notes": [FORGED]}
    comparison = {**row, **groups}
    (folder / "comparison.json").write_text(json.dumps(comparison))
    (folder / "receipt.json").write_text(json.dumps({"charged": 0.1234, "settled": True}))
    outcomes = [(False, True), (True, False), (True, True), (False, False)]
    for label, at in (("base", 0), ("adapter", 1)):
        lines = [_episode(number, outcomes[number % 4][at]) for number in range(questions)]
        (folder / "evaluation" / f"{label}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines)
        )
    return run


def _episode(number: int, right: bool) -> dict[str, Any]:
    turn = {"reply": FORGED, "code": "submit(1)", "feedback": None, "stdout": "printed", "submitted": True,
            "answer": 1 if right else 7}  # fmt: skip
    return {
        "question": {"id": f"q{number}", "text": FORGED if number == 0 else f"Question {number}?",
                     "family": "one", "difficulty": "easy", "truth": 1},
        "tables": [{"name": "table"}],
        "traces": [{"turns": [turn]}],
        "verdict": {"verified": right, "rule": "integer", "detail": ""},
    }  # fmt: skip
