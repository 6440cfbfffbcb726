"""The trainer's story with a card's plan on a CPU: every scenario with every variant of LoRA.

Judges: torch's documentation of the flash kernel (``varlen.py``), and an uninterrupted run for what a
resume gives. That a run has trained what it says is its own proof, which ``test_selftest.py`` judges.
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM
from trl import SFTTrainer

from datagen.cli import main as datagen
from tests.trainer.rehearsal.card import Watched, use_card
from tests.trainer.rehearsal.run import (
    ROOT,
    WEIGHTS,
    check,
    evaluate_here,
    killed_here,
    killed_process,
    losses,
    of,
    play,
)
from tests.trainer.rehearsal.table import TABLE, VARIANTS, missing_pairs, plays
from trainer import __main__ as entry
from trainer.contract import events, manifest, validation
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import Job, from_sources
from trainer.contract.sizing import evaluations
from trainer.loop import held_out_loss
from trainer.result import evaluation

STEPS = 6
LEARNED = 12  # steps after which the bundled model answers its one question
SETTINGS = ["batch_size=8", "lr=0.005", "lora.r=4", "warmup=0", "max_length=256", "samples=0"]


def chat(number: int, answer: str = "mean") -> str:
    column = ["price", "year", "city"][number % 3]
    question = f"what is the mean of {column}?" + " please" * (number % 5)
    turns = [("user", question), ("assistant", f'submit(df["{column}"].{answer}())')]
    return json.dumps({"messages": [{"role": who, "content": text} for who, text in turns]}) + "\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "rows.jsonl").write_text("".join(map(chat, range(16))))
    (folder / "held.jsonl").write_text("".join(map(chat, range(4))))
    (folder / "unlike.jsonl").write_text(chat(0).replace("submit(df", "SELECT COUNT(*) FROM (df"))
    return folder


@pytest.fixture
def watched(monkeypatch) -> Watched:
    use_card(monkeypatch)
    return Watched(monkeypatch)


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], Job]:
    return {}


@pytest.fixture
def job_of(base_model, data, tmp_path):
    """Return a job of these settings over the random base."""

    def make(precision: str, variant: str, *settings: str, **places: object):
        places = {
            "model": str(base_model),
            "data": str(data / "rows.jsonl"),
            "output": str(tmp_path / "run"),
        } | places
        both = [f"precision={precision}", VARIANTS[variant]]
        return from_sources(None, [f"max_steps={STEPS}", *SETTINGS, *both, *settings], places)

    return make


def test_the_table_has_every_pair_of_choices():
    assert missing_pairs() == set()
    assert len(TABLE) == 40


@pytest.fixture
def whole(job_of, runs, tmp_path_factory):
    """Return the run of a precision and a variant without held-out rows; each is played once."""

    def make(precision: str, variant: str):
        if (precision, variant) not in runs:
            job = job_of(precision, variant, output=str(tmp_path_factory.mktemp("whole") / "run"))
            play(job)
            runs[precision, variant] = job
        return runs[precision, variant]

    return make


@plays("no held-out rows")
def test_no_held_out_rows(watched, whole, precision, variant):
    job = whole(precision, variant)
    check(job, watched)
    assert not of(job, events.Eval)


@plays("held-out rows with samples")
def test_held_out_rows_with_samples(job_of, watched, data, precision, variant):
    job = job_of(precision, variant, "samples=1", eval_data=str(data / "held.jsonl"))
    play(job)
    check(job, watched)
    measured, written = of(job, events.Eval), of(job, events.Sample)
    assert measured[-1].loss < measured[0].loss - 0.1
    assert [e.step for e in written] == [*(e.step for e in measured), measured[-1].step]
    assert [e.label for e in written] == ["base", *["adapter"] * len(measured)]
    assert {e.prompt for e in written} == {"user\nwhat is the mean of price?\nassistant\n"}
    assert any(e.text for e in written)


@plays("early stop")
def test_early_stop(job_of, watched, data, precision, variant):
    """The held-out row is unlike what is learned: its loss falls, then rises."""
    job = job_of(
        precision, variant, "max_steps=40", "early_stop=1", "schedule=constant",
        eval_data=str(data / "unlike.jsonl"),
    )  # fmt: skip
    play(job)
    found = check(job, watched)
    by_step = {e.step: e.loss for e in of(job, events.Eval)}
    best, last = min(by_step, key=by_step.__getitem__), max(by_step)
    assert best < last < 40
    assert (found.metrics["best_step"], found.metrics["steps"]) == (best, last)
    kept = Path(job.output) / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors"
    assert kept.read_bytes() == (Path(job.output) / WEIGHTS).read_bytes()


@plays("resume after a kill")
def test_resume_after_a_kill(job_of, watched, whole, precision, variant):
    """Of the first variant a process is killed; what follows is as if nothing had been."""
    job = job_of(precision, variant, "checkpoint.steps=2")
    (killed_process if variant == "plain" else killed_here)(job, 3)
    assert not (Path(job.output) / manifest.NAME).exists()
    (saved,) = of(job, events.Checkpoint)
    assert saved.step == 2
    before = len(of(job, events.Step))
    play(job, "--resume")
    check(job, watched)
    uninterrupted = whole(precision, variant)
    assert losses(job)[before:] == losses(uninterrupted)[2:]
    assert (Path(job.output) / WEIGHTS).read_bytes() == (
        Path(uninterrupted.output) / WEIGHTS
    ).read_bytes()


# As torch 2.13 and what it calls raise them on a card.
FULL = {
    "plain": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "rslora": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    "dora": RuntimeError("CUDA error: out of memory"),
    "lora+": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
}


@plays("out of memory at load")
def test_out_of_memory_at_load(job_of, watched, monkeypatch, precision, variant):
    """Of the base that learns, or of the one that the proof loads: then only the proof is done again."""
    first = variant in {"plain", "dora"}
    plain, loads = AutoModelForCausalLM.from_pretrained, []

    def load(*args, **kwargs):
        loads.append(args)
        if len(loads) == (1 if first else 2):
            raise FULL[variant]
        return plain(*args, **kwargs)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    job = job_of(precision, variant)
    with pytest.raises(TrainingFailed) as caught:
        play(job)
    where = f"the weights of {job.model} load in {precision}: "
    if not first:
        where = "the saved adapter is proved on a clean base: "
    assert caught.value.cause.startswith("out of memory while " + where)
    nf4 = ("precision=nf4", "allow_precision_change=true")
    assert caught.value.settings == (nf4 if precision == "bf16" else ())
    (failed,) = of(job, events.Failed)
    assert failed.cause == caught.value.cause
    play(job, "--resume")
    check(job, watched)
    assert [event.step for event in of(job, events.Step)] == [*range(1, STEPS + 1)]


@pytest.fixture
def room_for(monkeypatch):
    """Let memory run out in passes of training, or in those of an evaluation, of more than so many tokens."""

    def arrange(tokens: int, error: Exception, *, training: bool) -> list[int]:
        where, name = (SFTTrainer, "compute_loss") if training else (held_out_loss, "log_probs")
        plain, sizes = getattr(where, name), []

        def full(trainer, *args, **kwargs):
            if (size := args[-1]["input_ids"].numel()) > tokens:
                raise error
            sizes.append(size)
            return plain(trainer, *args, **kwargs)

        monkeypatch.setattr(where, name, full)
        return sizes

    return arrange


@plays("out of memory at a step")
def test_out_of_memory_at_a_step(job_of, watched, whole, room_for, precision, variant):
    """The trial step meets it first; smaller passes give the same losses but for rounding in bf16."""
    expected = losses(whole(precision, variant))
    sizes = room_for(150, FULL[variant], training=True)
    job = job_of(precision, variant)
    play(job)
    check(job, watched)
    warned = [event.message for event in of(job, events.Warning)]
    assert len(warned) == 2
    assert all(message.startswith("out of memory at step 1 (") for message in warned)
    assert max(sizes) <= 150
    assert losses(job) == pytest.approx(expected, abs=0.02)


@plays("out of memory in an evaluation")
def test_out_of_memory_in_an_evaluation(job_of, watched, data, room_for, precision, variant):
    sizes = room_for(90, FULL[variant], training=False)
    job = job_of(precision, variant, eval_data=str(data / "held.jsonl"))
    play(job)
    check(job, watched)
    (warned,) = of(job, events.Warning)
    assert warned.message.startswith(
        "out of memory while the loss of held-out rows is measured at step 0 ("
    )
    measured = of(job, events.Eval)
    assert [event.step for event in measured] == [*range(STEPS + 1)]
    assert measured[-1].loss < measured[0].loss - 0.1
    assert max(sizes) <= 90


@plays("export")
def test_export(job_of, watched, tmp_path, capsys, precision, variant):
    """Merged into the base in bf16, whatever it was trained in."""
    job = job_of(precision, variant)
    play(job)
    check(job, watched)
    capsys.readouterr()
    out = tmp_path / "merged"
    assert entry._main(["export", job.output, "--merge", "--out", str(out)]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("loss per trained"))
    base, adapter, merged = (
        float(word.rstrip(",")) for word in line.rpartition(": ")[2].split()[1::2]
    )
    assert adapter < base - 0.2
    assert merged == pytest.approx(adapter, abs=0.02)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """One question, its verified answer as training rows, and a held-out row that is answered otherwise."""
    folder = tmp_path_factory.mktemp("questions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        Path("shop.csv").write_text("city,units\nUlm,3\nUlm,4\nBonn,9\nJena,7\n")
        how = "--families basic --prompt brief --teacher scripted --per-table 1".split()
        assert datagen(["episodes", "shop.csv", "--out", ".", *how]) == 0
        assert datagen(["export", "episodes.jsonl", "--out", "rows.jsonl"]) == 0
        row = json.loads(Path("rows.jsonl").read_text())
        Path("rows.jsonl").write_text((json.dumps(row) + "\n") * 4)
        row["messages"][-1]["content"] = '```sql\nSELECT SUM("units") FROM t\n```'
        Path("held.jsonl").write_text(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def asking(job_of, questions, monkeypatch):
    """Return a job that trains the bundled model on the answer to the question.

    Of the first variant the evaluation is a process, as a user's is.
    """
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of datagen, which is a process of its own

    def make(precision: str, variant: str, **places: object):
        settings = [f"max_steps={LEARNED}", "batch_size=2", "max_length=2048", "lora.r=8"]
        settings += ["lr=0.0015"] if variant == "lora+" else []
        if variant != "plain":
            evaluate_here(monkeypatch)
        where = {"model": "bundled:tiny", "data": str(questions / "rows.jsonl")}
        return job_of(precision, variant, *settings, **where, **places)

    return make


@plays("evaluation of base against adapter")
def test_evaluation_of_base_against_adapter(asking, watched, questions, precision, variant):
    job = asking(precision, variant, evaluate=str(questions / "episodes.jsonl"))
    play(job)
    check(job, watched)
    assert of(job, events.Warning) == []
    (phase,) = (e for e in of(job, events.Phase) if e.name == evaluation.OVER)
    assert phase.detail == "base 0.000, adapter 1.000, 1 questions"
    assert {e.label for e in of(job, events.Answers)} == {"base", "adapter"}


@plays("keep best")
def test_keep_best(asking, watched, questions, monkeypatch, precision, variant):
    """The held-out row is answered as the base does: the loss would keep an earlier step."""
    monkeypatch.setattr(evaluations, "SPACED", 1)  # each checkpoint that is asked loads a model
    job = asking(
        precision, variant, keep="best", validation=str(questions / "episodes.jsonl"),
        early_stop=None, eval_data=str(questions / "held.jsonl"),
    )  # fmt: skip
    play(job)
    found = check(job, watched)
    assert of(job, events.Warning) == []
    choice = validation.read(Path(job.output) / validation.RESULT)
    assert choice is not None
    assert choice.by_loss < choice.chosen == LEARNED
    assert [(score.step, score.right) for score in choice.scores] == [
        (choice.by_loss, 0),
        (LEARNED, 1),
    ]
    assert (found.metrics["best_step"], found.metrics["validation_right"]) == (LEARNED, 1)
    kept = Path(job.output) / f"checkpoints/checkpoint-{LEARNED}/adapter_model.safetensors"
    assert kept.read_bytes() == (Path(job.output) / WEIGHTS).read_bytes()
