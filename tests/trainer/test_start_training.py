import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from trainer import start_training
from trainer.contract import events, manifest
from trainer.contract.command.errors import (
    BadData,
    Interrupted,
    NoSpace,
    NotInstalled,
    OutputExists,
    ResultRejected,
    ResumeRefused,
    TrainingFailed,
)
from trainer.contract.job import Job, from_sources
from trainer.reporting import Reporter

CURVE = Path(__file__).parent / "loss_curve.json"
SETTINGS = ["max_steps=8", "batch_size=8", "lr=0.02", "lora.r=4", "warmup=0", "max_length=256"]


def job_of(base_model, data_file, output, *settings) -> Job:
    places = {"model": str(base_model), "data": str(data_file), "output": str(output)}
    return from_sources(None, [*SETTINGS, *settings], places)


def run(job, *, resume=False, overwrite=False):
    from trainer.start_training import train

    lines: list[str] = []
    train(job, resume=resume, overwrite=overwrite, say=lines.append)
    return lines


def events_of(output, kind):
    return [e for e in events.read(Path(output) / "events.jsonl")[0] if isinstance(e, kind)]


def losses_of(output):
    return [event.loss for event in events_of(output, events.Step)]


def weights_of(output):
    from safetensors.torch import load_file

    return load_file(Path(output) / "adapter" / "adapter_model.safetensors")


def largest_difference(left, right):
    left, right = weights_of(left), weights_of(right)
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.fixture(scope="module")
def finished(base_model, tmp_path_factory):
    """One plain run: (run folder, job, lines that were said)."""
    folder = tmp_path_factory.mktemp("finished")
    data = folder / "rows.jsonl"
    write_rows(data, 20)
    job = job_of(base_model, data, folder / "run")
    return folder / "run", job, run(job)


def tokens_of(job):
    """The token ids of every row of the job's data, in the order of the file."""
    from trainer.contract.rows import read_rows
    from trainer.data.encode import encode_rows
    from trainer.data.templates import learn_format
    from trainer.pretrained import find, load_tokenizer

    path = Path(job.data)
    chat_format = learn_format(load_tokenizer(find(job)))
    rows = read_rows(path)
    examples = encode_rows(path, rows, chat_format, max_length=job.max_length, overlong="drop")
    return examples.rows(range(len(rows.rows)))


def write_rows(path, count):
    path.write_text("".join(json.dumps(chat(number)) + "\n" for number in range(count)))


def chat(number):
    """Row ``number``; lengths differ, so that padding matters."""
    column = ["price", "year", "city", "head"][number % 4]
    question = f"what is the mean of {column}?" + " please" * (number % 5)
    return {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": question},
            {"role": "assistant", "content": f'submit(df["{column}"].mean())'},
        ]
    }


@pytest.fixture
def data_file(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, 20)
    return path


def test_a_run_leaves_a_whole_result(finished):
    output, job, _ = finished
    found = manifest.verify(output)
    assert found.complete
    assert found.job_hash == job.hash()
    assert found.data_sha256 == manifest.hash_file(Path(job.data)).sha256
    assert found.metrics["steps"] == 8
    assert found.reload_proof is not None
    assert found.reload_proof.max_abs_diff == 0.0
    assert found.reload_proof.base_max_abs_diff > 0.01
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert Job.from_json(output / "job.json") == job
    names = {path.name for path in (output / "adapter").iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert not list(output.glob(".*"))


def test_a_run_tells_what_it_does(finished):
    output, _, lines = finished
    found, _ = events.read(output / "events.jsonl")
    assert [e.seq for e in found] == list(range(len(found)))
    kinds = [e.type for e in found if e.type not in {"step", "phase"}]
    assert kinds == ["data", "plan", "checkpoint", "divergence", "saved", "done"]
    phases = [e.name for e in found if isinstance(e, events.Phase)]
    assert phases == ["data", "model", "train", "save", "proof"]
    steps = events_of(output, events.Step)
    assert [s.step for s in steps] == list(range(1, 9))
    assert all(s.steps == 8 and s.seconds_left >= 0 and s.memory_bytes > 0 for s in steps)
    assert steps[-1].seconds_left == 0
    assert any(line.startswith("step 8/8") for line in lines)
    assert "done: " in lines[-1]


def test_tokens_are_counted_as_they_are(finished):
    output, _, _ = finished
    (plan,) = events_of(output, events.Plan)
    steps = events_of(output, events.Step)
    # 20 rows in batches of 8 are three steps an epoch: after six steps two epochs are done.
    assert steps[5].epoch == 2.0
    assert steps[5].tokens == 2 * plan.tokens
    assert steps[5].trained_tokens == 2 * plan.trained_tokens
    assert plan.trained_tokens < plan.tokens / 2


def test_the_log_shows_what_is_trained_and_holds_the_chatter(finished):
    output, _, _ = finished
    log = (output / "train.log").read_text()
    assert '<|im_start|>assistant\n«submit(df["price"].mean())<|im_end|>»' in log
    assert "step 8/8" in log


def test_the_loss_curve_is_the_committed_one(finished):
    """Other instruction sets (AVX-512, AVX2, none) sum in another order; that moved no loss by 1e-5."""
    output, _, _ = finished
    expected = json.loads(CURVE.read_text())
    assert losses_of(output) == pytest.approx(expected, abs=1e-4)
    assert expected[-1] < expected[0] - 0.4


@pytest.mark.parametrize(("tokens", "passes"), [(1, 8.0), (90, None)])
def test_smaller_passes_give_the_same_adapter(finished, tmp_path, tokens, passes):
    """1 x 8 rows equals 8 x 1: with a token a pass each row has its own, so packed equals unpacked."""
    output, job, _ = finished
    other = job_of(job.model, job.data, tmp_path / "run", f"plan.tokens={tokens}")
    run(other)
    (plan,) = events_of(other.output, events.Plan)
    assert plan.passes == passes or 1 < plan.passes < 8
    assert losses_of(other.output) == pytest.approx(losses_of(output), abs=2e-5)
    # Adam divides by the gradient's size: where that is near zero, rounding shows (7e-5 measured).
    assert largest_difference(other.output, output) < 5e-4
    assert other.hash() == job.hash()


def test_the_rows_come_in_our_order_in_every_epoch(finished, tmp_path, monkeypatch):
    from trainer.data.order import order
    from trainer.loop.loop import Loop

    _, plain, _ = finished
    seen: list[int] = []
    fetch = Loop.get_batch_samples

    def watch(self, *args, **kwargs):
        batches, trained = fetch(self, *args, **kwargs)
        for batch in batches:
            seen.extend(len(row["input_ids"]) for row in batch["rows"].rows)
        return batches, trained

    monkeypatch.setattr(Loop, "get_batch_samples", watch)
    lengths = [len(row) for row in tokens_of(plain)]
    run(job_of(plain.model, plain.data, tmp_path / "run", "max_steps=6", "seed=3"))
    expected = [lengths[i] for epoch in (0, 1) for i in order(len(lengths), seed=3, epoch=epoch)]
    assert seen == expected


def test_the_same_job_gives_the_same_bytes_and_another_seed_does_not(finished, tmp_path):
    output, job, _ = finished
    run(job_of(job.model, job.data, tmp_path / "same"))
    assert largest_difference(tmp_path / "same", output) == 0.0
    run(job_of(job.model, job.data, tmp_path / "other", "seed=1"))
    assert largest_difference(tmp_path / "other", output) > 0.0


@pytest.fixture
def stop_after(monkeypatch):
    """Send this process SIGTERM when a step has been reported."""
    plain = Reporter.step

    def arrange(number, sent=signal.SIGTERM):
        def step(self, event):
            plain(self, event)
            if event.step == number:
                os.kill(os.getpid(), sent)

        monkeypatch.setattr(Reporter, "step", step)

    return arrange


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("number", [1, 4])
def test_stopped_and_resumed_equals_uninterrupted(finished, tmp_path, stop_after, number, sent):
    output, plain, _ = finished
    job = job_of(plain.model, plain.data, tmp_path / "run")
    stop_after(number, sent)
    with pytest.raises(Interrupted) as caught:
        run(job)
    assert caught.value.hint == f"continue with: python -m trainer {tmp_path}/run/job.json --resume"
    (saved,) = events_of(job.output, events.Checkpoint)
    (failed,) = events_of(job.output, events.Failed)
    assert failed.exit_code == 130
    assert not (tmp_path / "run" / manifest.NAME).exists()
    with pytest.raises(OutputExists, match="unfinished run"):
        run(job)
    stop_after(0)
    lines = run(job, resume=True)
    assert f"resume: after step {saved.step}" in lines
    assert losses_of(job.output) == losses_of(output)
    assert largest_difference(job.output, output) == 0.0
    mine, theirs = (events_of(o, events.Step)[-1] for o in (job.output, output))
    assert (mine.tokens, mine.trained_tokens) == (theirs.tokens, theirs.trained_tokens)
    manifest.verify(tmp_path / "run")


def test_a_run_that_died_after_its_last_step_is_finished(finished, tmp_path, monkeypatch):
    output, plain, _ = finished
    from trainer.result import proof

    job = job_of(plain.model, plain.data, tmp_path / "run", "schedule=cosine")
    with monkeypatch.context() as patch:
        patch.setattr(proof, "prove", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(job)
    assert not (tmp_path / "run" / "adapter").exists()
    run(job, resume=True)
    assert len(losses_of(job.output)) == 8
    assert largest_difference(job.output, output) == 0.0
    assert manifest.verify(tmp_path / "run").metrics["final_loss"] is not None


def test_a_resume_without_a_checkpoint_begins(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "max_steps=1")
    run(job, resume=True)
    (warning,) = events_of(job.output, events.Warning)
    assert "no checkpoint" in warning.message
    manifest.verify(tmp_path / "run")


def test_a_finished_run_is_not_touched(finished):
    output, job, _ = finished
    before = manifest.load(output / manifest.NAME)
    with pytest.raises(OutputExists, match="already holds a result"):
        run(job)
    (line,) = run(job, resume=True)
    assert "is complete" in line
    with pytest.raises(ResumeRefused):
        run(job.model_copy(update={"seed": 5}), resume=True)
    assert manifest.verify(output) == before


def test_overwrite_begins_again_and_keeps_what_is_not_ours(finished, tmp_path):
    output, plain, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(output, copy)
    (copy / "notes.txt").write_text("mine")
    job = job_of(plain.model, plain.data, copy, "max_steps=2")
    run(job, overwrite=True)
    assert manifest.verify(copy).metrics["steps"] == 2
    assert (copy / "notes.txt").read_text() == "mine"
    assert [p.name for p in (copy / "checkpoints").iterdir()] == ["checkpoint-2"]
    seqs = [e.seq for e in events.read(copy / "events.jsonl")[0]]
    assert seqs == list(range(len(seqs)))


def test_a_changed_job_or_changed_data_is_not_resumed(finished, tmp_path):
    output, plain, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(output, copy)
    (copy / manifest.NAME).unlink()
    changed = job_of(plain.model, plain.data, copy, "lr=0.01", "lora.r=8", "plan.tokens=20")
    with pytest.raises(ResumeRefused) as caught:
        run(changed, resume=True)
    assert caught.value.faults == ("lora.r: 4 -> 8", "lr: 0.02 -> 0.01")
    data = tmp_path / "rows.jsonl"
    write_rows(data, 21)
    with pytest.raises(ResumeRefused, match="has changed since the run was started"):
        run(job_of(plain.model, data, copy), resume=True)
    template = Path(tmp_path / "base")
    shutil.copytree(plain.model, template)
    with (template / "chat_template.jinja").open("a") as file:
        file.write("{# another #}")
    moved = checkpoint_with(copy, {"job_hash": job_of(template, plain.data, copy).hash()})
    assert moved
    with pytest.raises(ResumeRefused, match="chat template has changed"):
        run(job_of(template, plain.data, copy), resume=True)


def checkpoint_with(output, changes):
    paths = list(Path(output).glob("checkpoints/*/checkpoint.json"))
    for path in paths:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return paths


def test_another_precision_is_refused_and_another_device_is_told(finished, tmp_path):
    output, plain, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(output, copy)
    (copy / manifest.NAME).unlink()
    job = job_of(plain.model, plain.data, copy)
    checkpoint_with(copy, {"precision": "bf16"})
    with pytest.raises(ResumeRefused, match="started in bf16 and would continue in fp32") as caught:
        run(job, resume=True)
    assert "--set allow_precision_change=true" in caught.value.hint
    checkpoint_with(copy, {"precision": "fp32", "device": "NVIDIA A10"})
    run(job, resume=True)
    (warning,) = events_of(copy, events.Warning)
    assert "not bit-exact from this step on" in warning.message


def test_another_precision_is_gone_on_with_when_that_is_allowed(finished, tmp_path):
    """As planned by itself, and as asked for; the steps and their rows stay."""
    output, plain, _ = finished
    cut = tmp_path / "cut"
    run(job_of(plain.model, plain.data, cut, "checkpoint.steps=5"))
    (cut / manifest.NAME).unlink()
    shutil.rmtree(cut / "checkpoints" / "checkpoint-8")
    for precision, changes in (("auto", {"precision": "bf16"}), ("nf4", {})):
        copy = tmp_path / precision
        shutil.copytree(cut, copy)
        (mark,) = checkpoint_with(copy, changes)
        before = json.loads(mark.read_text())
        job = job_of(plain.model, plain.data, copy, f"precision={precision}")
        with pytest.raises(ResumeRefused):
            run(job, resume=True)
        job = job.model_copy(update={"allow_precision_change": True})
        lines = run(job, resume=True)
        assert f"resume: after step {before['step']}" in lines
        (warning,) = events_of(copy, events.Warning)
        assert f" in {before['precision']} with micro-batches of" in warning.message
        assert "not bit-exact from this step on" in warning.message
        seen, first = events_of(copy, events.Step)[8:], events_of(output, events.Step)
        assert [e.step for e in seen] == [6, 7, 8]
        assert (seen[-1].tokens, seen[-1].lr) == (first[-1].tokens, first[-1].lr)
        assert seen[-1].loss == pytest.approx(first[-1].loss, abs=0.1)
        assert manifest.verify(copy).precision == {"auto": "fp32"}.get(precision, precision)


def test_checkpoints_are_made_by_step_and_the_newest_are_kept(base_model, data_file, tmp_path):
    job = job_of(
        base_model, data_file, tmp_path / "run", "checkpoint.steps=1", "max_steps=5",
        "checkpoint.keep=3",
    )  # fmt: skip
    run(job)
    assert [e.step for e in events_of(job.output, events.Checkpoint)] == [1, 2, 3, 4, 5]
    kept = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["checkpoint-3", "checkpoint-4", "checkpoint-5"]


def test_checkpoints_are_made_by_time(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "checkpoint.minutes=1e-9", "max_steps=3")
    run(job)
    assert [e.step for e in events_of(job.output, events.Checkpoint)] == [1, 2, 3]


def test_a_full_disk_keeps_the_last_checkpoint(finished, tmp_path, monkeypatch):
    import torch

    output, plain, _ = finished
    job = job_of(plain.model, plain.data, tmp_path / "run", "checkpoint.steps=3")
    plain_save = torch.save

    def save(value, path, *args, **kwargs):
        if "checkpoint-6" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        plain_save(value, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(NoSpace, match="the disk is full"):
            run(job)
    assert events_of(job.output, events.Failed)[-1].exit_code == 8
    lines = run(job, resume=True)
    assert "resume: after step 3" in lines
    assert largest_difference(job.output, output) == 0.0


@pytest.mark.parametrize("harm", ["flip", "cut", "lose"])
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(finished, tmp_path, harm):
    output, plain, _ = finished
    job = job_of(plain.model, plain.data, tmp_path / "run", "checkpoint.steps=3")
    run(job)
    (tmp_path / "run" / manifest.NAME).unlink()
    path = tmp_path / "run" / "checkpoints" / "checkpoint-8" / "optimizer.pt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data[: 100 if harm == "cut" else None])
    if harm == "lose":
        path.unlink()
    lines = run(job, resume=True)
    (warning,) = events_of(job.output, events.Warning)
    assert warning.message.startswith(
        "checkpoint-8 is damaged (optimizer.pt is missing or has changed"
    )
    assert "resume: after step 6" in lines
    assert losses_of(job.output)[-2:] == losses_of(output)[-2:]
    assert largest_difference(job.output, output) == 0.0


def test_what_comes_after_the_checkpoint_that_is_taken_does_not_count(tmp_path):
    from trainer import checkpoints

    mark = dict.fromkeys(("job_hash", "data_sha256", "template_sha256", "precision", "device"), "")
    for step in (6, 7, 8):
        folder = tmp_path / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        numbers = {"step": step, "pass_tokens": 1, "tokens": 1, "trained_tokens": 1}
        checkpoints.write_record(folder, checkpoints.Record(job={}, **mark, **numbers))
    checkpoints.forget_newer(tmp_path, 7)
    assert [found.step for _, found in checkpoints.whole(tmp_path)] == [6, 7]
    checkpoints.rotate(tmp_path, 1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-7"]


def test_a_loss_that_is_no_number_ends_the_run(base_model, data_file, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "base"
    shutil.copytree(base_model, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    job = job_of(broken, data_file, tmp_path / "run")
    with pytest.raises(TrainingFailed, match="the loss is nan at step 1"):
        run(job)
    (failed,) = events_of(job.output, events.Failed)
    assert failed.exit_code == 9
    assert not (tmp_path / "run" / "adapter").exists()


def test_an_adapter_that_changes_nothing_is_no_result(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "lr=1e-30", "max_steps=1")
    with pytest.raises(TrainingFailed, match="changes nothing"):
        run(job)
    assert not (tmp_path / "run" / "adapter").exists()


def test_an_adapter_that_does_not_reload_is_no_result(base_model, data_file, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    from trainer.result import publish

    plain = publish.save_adapter

    def save(model, tokenizer, folder):
        plain(model, tokenizer, folder)
        path = folder / "adapter_model.safetensors"
        weights = load_file(path)
        next(iter(weights.values())).mul_(2)
        save_file(weights, path)

    monkeypatch.setattr(publish, "save_adapter", save)
    job = job_of(base_model, data_file, tmp_path / "run")
    with pytest.raises(TrainingFailed, match="does not compute what was trained"):
        run(job)
    assert not (tmp_path / "run" / manifest.NAME).exists()


def test_a_changed_adapter_is_rejected(finished, tmp_path):
    output, _, _ = finished
    copy = tmp_path / "run"
    shutil.copytree(output, copy)
    path = copy / "adapter" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ResultRejected):
        manifest.verify(copy)


def test_the_cards_lines_load_the_adapter(finished):
    output, _, _ = finished
    text = (output / "adapter" / "README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    names: dict = {}
    exec(code.replace("ADAPTER_FOLDER", str(output / "adapter")), names)
    prompt = names["tokenizer"].apply_chat_template(
        [{"role": "user", "content": "what is the mean of price?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    answer = names["model"].generate(**prompt, max_new_tokens=4, do_sample=False)
    assert answer.shape[1] > prompt["input_ids"].shape[1]


def test_nf4_trains_on_a_cpu(base_model, data_file, tmp_path):
    held_out = tmp_path / "eval.jsonl"
    write_rows(held_out, 3)
    job = job_of(base_model, data_file, tmp_path / "run", "precision=nf4", f"eval_data={held_out}")
    run(job)
    assert events_of(job.output, events.Eval)
    found = manifest.verify(tmp_path / "run")
    assert found.precision == "nf4"
    assert found.reload_proof is not None
    assert found.reload_proof.base_max_abs_diff > 10 * found.reload_proof.max_abs_diff
    losses = losses_of(job.output)
    assert losses[-1] < losses[0] - 0.3


def test_bf16_trains_on_a_cpu(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "precision=bf16", "max_steps=3")
    run(job)
    found = manifest.verify(tmp_path / "run")
    assert found.precision == "bf16"
    # The same kernels on the same numbers: autocast, which the loop works under, is not in the proof.
    assert found.reload_proof is not None
    assert found.reload_proof.max_abs_diff == 0.0


def test_evaluation_rows_are_measured_and_change_nothing_but_when_to_stop(finished, tmp_path):
    _, plain, _ = finished
    held_out = tmp_path / "eval.jsonl"
    write_rows(held_out, 6)
    job = job_of(plain.model, plain.data, tmp_path / "run", f"eval_data={held_out}", "max_steps=15")
    run(job)
    found = events_of(job.output, events.Eval)
    assert [e.step for e in found] == [0, 2, 4, 6, 8, 10, 12, 14, 15]
    assert found[-1].loss < found[0].loss
    quiet = job_of(plain.model, plain.data, tmp_path / "quiet", "max_steps=15")
    run(quiet)
    assert losses_of(job.output) == losses_of(quiet.output)


@pytest.fixture
def drifting(finished, tmp_path):
    """A job whose held-out rows are unlike what is learned: their loss falls, then rises."""
    _, plain, _ = finished
    held_out = tmp_path / "eval.jsonl"
    row = chat(0)
    row["messages"][2]["content"] = 'print(df["year"].sum())'
    held_out.write_text(json.dumps(row) + "\n")
    settings = [f"eval_data={held_out}", "max_steps=40", "early_stop=2", "schedule=constant"]
    return job_of(plain.model, plain.data, tmp_path / "run", *settings)


def test_a_run_ends_when_the_evaluation_loss_rises_and_gives_the_best_step(drifting, tmp_path):
    from safetensors.torch import load_file

    lines = run(drifting)
    losses = {e.step: e.loss for e in events_of(drifting.output, events.Eval)}
    best = min(losses, key=lambda step: losses[step])
    last = max(losses)
    assert last < 40
    assert [step for step in losses if step > best] == [best + 4, best + 8]
    assert f"stopping at step {last}: 2 evaluations without a lower loss" in lines
    found = manifest.verify(tmp_path / "run")
    assert (found.metrics["best_step"], found.metrics["steps"]) == (best, last)
    assert found.metrics["eval_loss"] == pytest.approx(losses[best])
    kept = tmp_path / "run" / "checkpoints" / f"checkpoint-{best}" / "adapter_model.safetensors"
    best_weights, saved = load_file(kept), weights_of(drifting.output)
    assert all((best_weights[name] == saved[name]).all() for name in saved)


def test_a_run_that_was_over_is_finished_and_not_gone_on_with(drifting, tmp_path, monkeypatch):
    from trainer.result import proof

    with monkeypatch.context() as patch:
        patch.setattr(proof, "prove", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(drifting)
    steps = len(losses_of(drifting.output))
    run(drifting, resume=True)
    assert len(losses_of(drifting.output)) == steps
    assert manifest.verify(tmp_path / "run").metrics["best_step"] in range(1, steps)


def test_a_share_of_the_rows_is_held_out(base_model, tmp_path):
    data = tmp_path / "rows.jsonl"
    write_rows(data, 200)
    for number, line in enumerate(lines := data.read_text().splitlines()):
        lines[number] = line.replace("mean of", f"mean {number} of")
    data.write_text("\n".join(lines) + "\n")
    job = job_of(base_model, data, tmp_path / "run", "max_steps=2")
    run(job)
    (plan,) = events_of(job.output, events.Plan)
    assert plan.rows == 190
    assert [e.step for e in events_of(job.output, events.Eval)] == [0, 1, 2]
    none = job_of(base_model, data, tmp_path / "none", "max_steps=2", "eval_share=0")
    run(none)
    assert not events_of(none.output, events.Eval)


@pytest.mark.parametrize("setting", ["variant=rslora", "variant=dora", "plus=4"])
def test_each_variant_of_lora_trains_another_adapter_that_is_proved(finished, tmp_path, setting):
    output, plain, _ = finished
    job = job_of(plain.model, plain.data, tmp_path / "run", f"lora.{setting}")
    run(job)
    found = manifest.verify(tmp_path / "run")
    assert found.reload_proof is not None
    assert found.reload_proof.max_abs_diff < 1e-4
    assert losses_of(job.output)[-1] < losses_of(job.output)[0] - 0.3
    assert losses_of(job.output)[-1] != pytest.approx(losses_of(output)[-1], abs=1e-4)


def test_on_a_quantised_base_stopped_and_resumed_equals_uninterrupted(
    base_model, data_file, tmp_path, stop_after
):
    """The adapter is in bf16 there, and has to be so again."""
    settings = ["precision=nf4", "max_steps=6"]
    whole = job_of(base_model, data_file, tmp_path / "whole", *settings)
    run(whole)
    found = manifest.verify(tmp_path / "whole")
    assert found.reload_proof is not None
    assert found.reload_proof.base_max_abs_diff > 10 * found.reload_proof.max_abs_diff
    cut = job_of(base_model, data_file, tmp_path / "cut", *settings)
    stop_after(2)
    with pytest.raises(Interrupted):
        run(cut)
    stop_after(0)
    run(cut, resume=True)
    assert losses_of(cut.output) == losses_of(whole.output)
    assert largest_difference(cut.output, whole.output) == 0.0


def test_the_bundled_model_trains(data_file, tmp_path):
    places = {"data": str(data_file), "output": str(tmp_path / "run")}
    run(from_sources("tiny", ["max_steps=6", "warmup=0", "batch_size=8"], places))
    losses = losses_of(tmp_path / "run")
    assert losses[-1] < losses[0] / 2
    found = manifest.verify(tmp_path / "run")
    assert found.base_model == "bundled:tiny"


def test_rows_that_are_too_long_are_told(finished, tmp_path):
    _, plain, _ = finished
    (plan,) = events_of(plain.output, events.Plan)
    limit = plan.tokens // plan.rows
    job = job_of(plain.model, plain.data, tmp_path / "run", f"max_length={limit}", "max_steps=1")
    lines = run(job)
    (warning,) = events_of(job.output, events.Warning)
    (shorter,) = events_of(job.output, events.Plan)
    assert shorter.rows == plan.rows - shorter.dropped_rows
    assert f"{shorter.dropped_rows} of 20 rows are longer than {limit} tokens" in warning.message
    assert f"warning: {warning.message}" in lines


def test_a_row_is_no_longer_than_the_model_can_read(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "max_length=4096", "max_steps=1")
    run(job)
    (warning,) = events_of(job.output, events.Warning)
    assert warning.message.endswith("base0 reads 512 tokens at most: that is the limit of a row")


def test_a_run_that_its_epochs_make_short_is_told(base_model, data_file, tmp_path):
    job = job_of(base_model, data_file, tmp_path / "run", "max_steps=null", "epochs=1")
    run(job)
    (warning,) = events_of(job.output, events.Warning)
    assert warning.message.startswith("3 steps change a model little")


def test_a_base_that_would_not_stop_is_told(base_model, data_file, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(base_model, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [0, 1]}))
    job = job_of(folder, data_file, tmp_path / "run", "max_steps=1")
    run(job)
    (warning,) = events_of(job.output, events.Warning)
    assert "does not stop at '<|im_end|>'" in warning.message


def test_bad_data_makes_no_folder_and_tells_one_that_is_there(base_model, tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text("{}\n")
    job = job_of(base_model, data, tmp_path / "run")
    with pytest.raises(BadData):
        run(job)
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    with pytest.raises(BadData):
        run(job)
    (failed,) = events_of(job.output, events.Failed)
    assert failed.exit_code == 3
    assert "no 'messages'" in failed.cause


def test_an_output_that_is_a_file(base_model, data_file, tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(OutputExists, match="is a file"):
        run(job_of(base_model, data_file, tmp_path / "run"))


def test_a_missing_extra_is_named_with_the_line_that_installs_it(
    base_model, data_file, tmp_path, monkeypatch
):

    monkeypatch.setattr(
        start_training, "find_spec", lambda name: None if name in {"trl", "peft"} else 1
    )
    with pytest.raises(NotInstalled) as caught:
        run(job_of(base_model, data_file, tmp_path / "run"))
    assert str(caught.value) == (
        "training needs trl, peft: install it with: pip install -c constraints.txt '.[train]'"
        " (in the project's folder)"
    )


@pytest.mark.parametrize("every", [1, 2])
def test_recomputed_layers_change_nothing(finished, tmp_path, every):
    output, plain, _ = finished
    job = job_of(plain.model, plain.data, tmp_path / "run", f"plan.recompute={every}")
    run(job)
    (plan,) = events_of(job.output, events.Plan)
    assert plan.recompute_every == every
    assert losses_of(job.output) == pytest.approx(losses_of(output), abs=2e-5)
    assert largest_difference(job.output, output) < 5e-4


class Card:
    """A device with room for so many tokens."""

    def __init__(self, monkeypatch, room):
        from trl import SFTTrainer

        self.room, self.refused = room, 0
        plain = SFTTrainer.compute_loss

        def compute_loss(trainer, model, inputs, *args, **kwargs):
            if model.training and inputs["input_ids"].numel() > self.room:
                self.refused += 1
                import torch

                raise torch.OutOfMemoryError("CUDA out of memory")
            return plain(trainer, model, inputs, *args, **kwargs)

        monkeypatch.setattr(SFTTrainer, "compute_loss", compute_loss)


def test_a_full_card_makes_passes_smaller_and_changes_nothing_else(finished, tmp_path, monkeypatch):
    output, plain, _ = finished
    card = Card(monkeypatch, room=100)
    job = job_of(plain.model, plain.data, tmp_path / "run")
    run(job)
    assert card.refused
    assert losses_of(job.output) == pytest.approx(losses_of(output), abs=2e-5)
    assert largest_difference(job.output, output) < 5e-4
    warned = [event.message for event in events_of(job.output, events.Warning)]
    assert any("out of memory at step 1 (" in message for message in warned)


def test_a_row_that_does_not_fit_alone_ends_the_run_with_what_to_do(
    finished, tmp_path, monkeypatch
):
    _, plain, _ = finished
    Card(monkeypatch, room=10)
    job = job_of(plain.model, plain.data, tmp_path / "run")
    with pytest.raises(TrainingFailed, match="out of memory at step 1 with one row of"):
        run(job)


def test_the_held_out_loss_is_the_mean_over_trained_tokens(finished, tmp_path):
    """Whatever rows share a pass."""
    _, plain, _ = finished
    losses = []
    for tokens in (1, 10_000):
        job = job_of(
            plain.model, plain.data, tmp_path / f"run{tokens}",
            f"eval_data={plain.data}", "max_steps=1", f"plan.tokens={tokens}",
        )  # fmt: skip
        run(job)
        losses.append([event.loss for event in events_of(job.output, events.Eval)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
