"""Of a run's checkpoints the one that answers most: a real training, and an evaluator that is told what to say."""

import hashlib
import json
import shutil
import signal
import sys
from pathlib import Path

import pytest

from trainer import __main__ as command
from trainer import checkpoints
from trainer.contract import events, manifest, validation
from trainer.contract.command.errors import Interrupted, run_main
from trainer.contract.job import Job, from_sources
from trainer.contract.validation import Score
from trainer.result import best_checkpoint, evaluation

WEIGHTS = "adapter_model.safetensors"
EVALUATOR = """
import json, os, signal, sys, time
from pathlib import Path

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
step = Path(given["--model"]).name.rsplit("-")[-1]
with open("asked", "a") as asked:
    asked.write(step + " " + str("--alone" in sys.argv) + "\\n")
out = Path(given["--out"])
out.mkdir(parents=True, exist_ok=True)
line = json.dumps({"v": 1, "type": "answers", "label": "model", "questions": 9, "answered": 9, "right": 1})
os.write(int(os.environ["SFT_EVENTS_FD"]), line.encode() + b"\\n")
right = json.loads(Path("right.json").read_text())[step]
if right == "stop":
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
if right is None:
    print("error: the sandbox cannot isolate", file=sys.stderr)
    sys.exit(12)
(out / "result.json").write_text(json.dumps({"right": right, "n": 9, "finished": True}))
"""


def rows(path, count=4):
    row = {"role": "user", "content": "mean?"}, {"role": "assistant", "content": "submit(1)"}
    path.write_text((json.dumps({"messages": row}) + "\n") * count)
    return str(path)


@pytest.fixture(scope="module")
def whole(base_model, tmp_path_factory):
    """A finished run of 8 steps, whose adapter the loss has chosen."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "t.csv").write_text("a\n1\n")
    table = {"path": "t.csv", "sha256": hashlib.sha256(b"a\n1\n").hexdigest()}
    episode = {"v": 1, "tables": [table], "question": {"id": "q", "text": "?"}}
    (folder / "v.jsonl").write_text(json.dumps(episode) + "\n")
    job = from_sources(
        None,
        [
            "max_steps=8",
            "batch_size=2",
            "lr=0.002",
            "lora.r=4",
            "max_length=256",
            "samples=0",
            "early_stop=null",
        ],
        {
            "model": str(base_model),
            "data": rows(folder / "rows.jsonl"),
            "output": str(folder / "run"),
            "keep": "best",
            "validation": str(folder / "v.jsonl"),
        },
    )
    job = job.model_copy(update={"eval_data": rows(folder / "eval.jsonl")})
    from trainer.start_training import train

    train(job, resume=False, overwrite=False, say=lambda _: None)
    return job


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """The same run before anything was chosen, and a way to say what each step's checkpoint gets right."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole.output, tmp_path / "run")
    (tmp_path / "evaluator.py").write_text(EVALUATOR)
    monkeypatch.setattr(evaluation, "COMMAND", (sys.executable, str(tmp_path / "evaluator.py")))
    return whole.model_copy(update={"output": str(tmp_path / "run")})


def answers(job: Job, **right):
    Path("right.json").write_text(json.dumps({str(k)[1:]: v for k, v in right.items()}))
    lines: list[str] = []
    best_checkpoint.choose(job, say=lines.append)
    return lines


def adapter(job):
    return (Path(job.output) / "adapter" / WEIGHTS).read_bytes()


def of_step(job, step):
    return (Path(job.output) / f"checkpoints/checkpoint-{step}" / WEIGHTS).read_bytes()


def told(job, kind):
    return [e for e in events.read(Path(job.output) / "events.jsonl")[0] if isinstance(e, kind)]


def by_loss(job):
    return int(manifest.load(Path(job.output) / manifest.NAME).metrics["best_step"] or 0)


def test_few_checkpoints_are_kept_spaced_over_the_run(whole):
    assert [mark.step for _, mark in checkpoints.whole(Path(whole.output))] == [2, 4, 6, 7, 8]
    assert [one.record.step for one in best_checkpoint.candidates(Path(whole.output))[0]] == [
        2,
        4,
        6,
        8,
    ]
    plain = whole.model_copy(update={"keep": "loss"})
    assert best_checkpoint.due(whole, Path(whole.output))
    assert not best_checkpoint.due(plain, Path(whole.output))


def test_the_one_that_answers_most_becomes_the_adapter_whatever_its_loss(run, whole):
    output = Path(run.output)
    assert by_loss(run) != 4
    assert adapter(run) != of_step(run, 4)
    lines = answers(run, s2=1, s4=7, s6=3, s8=2)
    found = manifest.verify(output)
    assert found.complete
    assert found.reload_proof is not None
    assert found.reload_proof.equal
    assert found.reload_proof.base_max_abs_diff > 0
    assert adapter(run) == of_step(run, 4)
    numbers = ("best_step", "validation_right", "validation_questions", "steps")
    assert [found.metrics[name] for name in numbers] == [4, 7, 9, 8]
    for kind in (events.HeldOut, events.Divergence):
        assert [e.step for e in told(run, kind)] == [by_loss(whole), 4]
    assert found.metrics["held_out_better"] == told(run, events.HeldOut)[-1].better
    assert found.metrics["general_kl"] == told(run, events.Divergence)[-1].median
    choice = validation.read(output / validation.RESULT)
    assert choice is not None
    assert validation.RESULT in found.files
    assert (choice.chosen, choice.by_loss) == (4, by_loss(whole))
    assert [(s.step, s.right) for s in choice.scores] == [(2, 1), (4, 7), (6, 3), (8, 2)]
    assert all(s.loss is not None for s in choice.scores)
    assert [(e.step, e.right, e.questions) for e in told(run, events.Validation)] == [
        (s.step, s.right, 9) for s in choice.scores
    ]
    assert {e.label for e in told(run, events.Answers)} == {"step 2", "step 4", "step 6", "step 8"}
    assert "checkpoint of step 4: 7 of 9 right" in (output / "train.log").read_text()
    assert lines[-1].startswith("validated: step 4 is kept")
    assert Path("asked").read_text().splitlines() == [f"{s} True" for s in (2, 4, 6, 8)]
    assert not best_checkpoint.due(run, output)
    with_files = {path.name for path in (output / "adapter").iterdir()}
    assert {"README.md", "tokenizer_config.json"} <= with_files
    assert {"optimizer.pt", "checkpoint.json"}.isdisjoint(with_files)


def test_where_the_loss_was_right_the_adapter_is_left_and_the_scores_are_kept(run):
    before, lowest = adapter(run), by_loss(run)
    answers(run, **{f"s{step}": 5 for step in (2, 4, 6, 8)})
    found = manifest.verify(Path(run.output))
    assert adapter(run) == before
    assert found.metrics["best_step"] == lowest
    assert validation.RESULT in found.files


def test_a_checkpoint_that_cannot_be_asked_leaves_everything_and_what_was_answered_counts(run):
    before, proof = adapter(run), (Path(run.output) / manifest.NAME).read_bytes()
    answers(run, s2=1, s4=7, s6=None, s8=2)
    (warning,) = told(run, events.Warning)
    assert "step 6: error: the sandbox cannot isolate" in warning.message
    assert adapter(run) == before
    assert (Path(run.output) / manifest.NAME).read_bytes() == proof
    Path("asked").unlink()
    answers(run, s6=3, s8=2)
    assert Path("asked").read_text().split()[::2] == ["6", "8"]
    assert adapter(run) == of_step(run, 4)


def test_other_episodes_are_other_answers(run, tmp_path):
    answers(run, s2=1, s4=7, s6=None)
    Path("asked").unlink()
    shutil.copy(Path(run.validation).parent / "t.csv", tmp_path / "t.csv")
    more = Path(run.validation).read_text() + Path(run.validation).read_text()
    (tmp_path / "other.jsonl").write_text(more)
    other = run.model_copy(update={"validation": str(tmp_path / "other.jsonl")})
    answers(other, s2=8, s4=7, s6=6, s8=5)
    assert len(Path("asked").read_text().splitlines()) == 4
    assert adapter(run) == of_step(run, 2)


def test_sigterm_ends_it_and_the_adapter_stays(run):
    before = adapter(run)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        answers(run, s2=1, s4="stop")
    assert "interrupted" in told(run, events.Warning)[0].message
    assert manifest.verify(Path(run.output)).complete
    assert adapter(run) == before
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_damaged_checkpoint_is_not_asked(run):
    path = Path(run.output) / "checkpoints/checkpoint-4" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    answers(run, s2=1, s6=3, s8=2)
    assert adapter(run) == of_step(run, 6)


def test_an_adapter_that_was_evaluated_is_not_changed_any_more(run):
    (Path(run.output) / "evaluation").mkdir()
    assert not best_checkpoint.due(run, Path(run.output))


def test_the_command_of_the_pod_chooses_once(run, tmp_path):
    Path("right.json").write_text(json.dumps({"2": 1, "4": 7, "6": 3, "8": 2}))
    (tmp_path / "job.json").write_text(run.to_json())
    for _ in range(2):
        assert run_main(command._main, [str(tmp_path / "job.json"), "--choose"]) == 0
    assert adapter(run) == of_step(run, 4)
    assert len(Path("asked").read_text().splitlines()) == 4


def test_training_refuses_before_it_begins(run, tmp_path, capsys):
    again = run.model_copy(update={"output": str(tmp_path / "new"), "validation": None})
    (tmp_path / "job.json").write_text(again.to_json())
    assert run_main(command._main, [str(tmp_path / "job.json")]) == 4
    assert "--validate" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_of_equals_the_lower_loss_then_the_later():
    def score(step, right, loss):
        return Score(step=step, loss=loss, right=right, questions=9)

    assert best_checkpoint.best([score(1, 4, 0.5), score(2, 4, 0.4), score(3, 3, 0.1)]).step == 2
    assert best_checkpoint.best([score(1, 4, 0.5), score(2, 4, 0.5)]).step == 2
    assert best_checkpoint.best([score(1, 4, 9.0), score(2, 4, None)]).step == 1
