"""Every command that training prints is typed, in the very state in which it is printed, and works."""

import json
import os
import shlex
from pathlib import Path

import pytest

from trainer import __main__ as command
from trainer import free_memory, pretrained
from trainer.contract import events, manifest
from trainer.contract.command.errors import NoSpace, ResumeRefused, TrainingFailed, run_main
from trainer.contract.job import Job
from trainer.loop import loop, selftest
from trainer.processes import local
from trainer.result import proof

HELD_OUT = "trainer.loop.held_out_loss.log_probs"


def too_full(*_args, **_kwargs):
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def chat(number):
    question = f"what is the mean of {'price' if number % 2 else 'year'} {number}?"
    answer = {
        "role": "assistant",
        "content": 'submit(df["price"].mean())' + " please" * (number % 3),
    }
    return {"messages": [{"role": "user", "content": question}, answer]}


@pytest.fixture
def begin(base_model, tmp_path, capsys):
    """``begin(*settings)``: train from flags; return the exit code and what stands on stderr."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(chat(number)) + "\n" for number in range(12)))

    def run(*settings):
        places = [
            "--model",
            str(base_model),
            "--data",
            str(data),
            "--output",
            str(tmp_path / "run"),
        ]
        usual = ["max_steps=3", "batch_size=4", "lr=0.02", "lora.r=4", "warmup=0", *settings]
        sets = [word for setting in usual for word in ("--set", setting)]
        code = run_main(command._main, [*places, *sets])
        return code, capsys.readouterr().err

    return run


@pytest.fixture
def type_it(tmp_path, capsys):
    """Type the command at the end of a message; return it, once the run has come to its result."""

    def run(shown):
        typed = (
            shown.strip()
            .rsplit("with: ", 1)[-1]
            .rsplit("again: ", 1)[-1]
            .rsplit("the run: ", 1)[-1]
        )
        program, *arguments = shlex.split(typed)
        assert (program, arguments[:2]) == ("python", ["-m", "trainer"])
        code = run_main(command._main, arguments[2:])
        assert code == 0, capsys.readouterr().err
        assert manifest.verify(tmp_path / "run").complete
        return typed.removeprefix(f"python -m trainer {tmp_path / 'run' / 'job.json'} ")

    return run


def unless(allowed, plain, fail=too_full):
    """``plain``, which fails where ``allowed(*arguments)`` is false."""

    def work(*args, **kwargs):
        return plain(*args, **kwargs) if allowed(*args, **kwargs) else fail()

    return work


IN_BF16 = "--resume --set precision=bf16 --set allow_precision_change=true"


def test_while_the_weights_load(begin, type_it, monkeypatch):
    small = unless(lambda _, how, **_k: how.precision == "bf16", pretrained.load_base)
    monkeypatch.setattr(loop, "load_base", small)
    code, shown = begin()
    assert code == TrainingFailed.exit_code
    assert "out of memory while the weights of " in shown
    assert " GB" in shown
    assert ", 2.00 GiB more requested" in shown
    assert type_it(shown) == IN_BF16


def test_in_the_self_test_before_the_first_step(begin, type_it, monkeypatch):
    small = unless(lambda trainer, *_a, **_k: trainer.args.bf16, selftest.prove_attention)
    monkeypatch.setattr(loop, "prove_attention", small)
    _, shown = begin()
    assert "out of memory in the self-test before the first step: " in shown
    assert type_it(shown) == IN_BF16


def step_with(monkeypatch, allowed, fail=too_full):
    from trl import SFTTrainer

    plain = SFTTrainer.compute_loss
    monkeypatch.setattr(SFTTrainer, "compute_loss", unless(allowed, plain, fail))


def test_in_a_step_with_one_row(begin, type_it, monkeypatch):
    step_with(monkeypatch, lambda trainer, *_, **__: trainer.args.gradient_checkpointing)
    _, shown = begin()
    assert "out of memory at step 1 with one row of " in shown
    assert type_it(shown) == "--resume --set plan.recompute=1"


def test_in_a_step_where_every_layer_is_recomputed(begin, type_it, monkeypatch):
    step_with(monkeypatch, lambda trainer, *_, **__: trainer.args.bf16)
    _, shown = begin("plan.recompute=1")
    assert type_it(shown) == IN_BF16


def test_where_nothing_of_the_job_helps_a_larger_device_does(begin, type_it, monkeypatch):
    with monkeypatch.context() as patch:
        step_with(patch, lambda *_, **__: False)
        _, shown = begin("plan.recompute=1", "precision=nf4")
    assert "take a device with more memory; continue with: " in shown
    assert type_it(shown) == "--resume"


def test_in_the_optimizer(begin, type_it, monkeypatch):
    import torch

    plain = torch.optim.AdamW.step
    layers = unless(lambda *_a, **_k: os.environ.get("RECOMPUTED"), plain)
    monkeypatch.setattr(torch.optim.AdamW, "step", layers)
    _, shown = begin()
    assert "out of memory while training: " in shown
    monkeypatch.setenv("RECOMPUTED", "1")
    assert type_it(shown) == "--resume --set plan.recompute=1"


def test_in_an_evaluation_of_one_row(begin, type_it, tmp_path, monkeypatch):
    small = unless(lambda trainer, _: trainer.args.bf16, selftest.log_probs)
    monkeypatch.setattr(HELD_OUT, small)
    _, shown = begin(f"eval_data={tmp_path / 'rows.jsonl'}")
    assert (
        "out of memory while the loss of held-out rows is measured at step 0 with one row" in shown
    )
    assert type_it(shown) == IN_BF16


def test_in_a_sample(begin, type_it, tmp_path, monkeypatch):
    from peft import PeftModelForCausalLM

    monkeypatch.setattr(PeftModelForCausalLM, "generate", too_full)
    _, shown = begin(f"eval_data={tmp_path / 'rows.jsonl'}")
    assert "out of memory while a sample is written at step 0: " in shown
    assert type_it(shown) == "--resume --set samples=0"


def test_in_the_proof(begin, type_it, monkeypatch):
    base = unless(lambda _, how, **_k: how.precision == "bf16", pretrained.load_base)
    monkeypatch.setattr(proof, "load_base", base)
    _, shown = begin()
    assert "out of memory while the saved adapter is proved on a clean base: " in shown
    assert type_it(shown) == IN_BF16


def test_anywhere_else(begin, type_it, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("trainer.data.prepare.encode_rows", lambda *_, **__: bytearray(2**62))
        code, shown = begin()
    assert code == TrainingFailed.exit_code
    assert "error: out of memory: " in shown
    assert type_it(shown) == "--resume"


def test_a_row_that_cannot_fit_is_refused_before_the_weights_load(begin, type_it, monkeypatch):
    left = iter([4 * 10**8])
    monkeypatch.setattr(free_memory, "free", lambda: next(left, 10**10))
    monkeypatch.setattr("trainer.loop.loop.load_base", None)
    code, shown = begin()
    assert code == TrainingFailed.exit_code
    assert "tokens needs at least 0.6 GB, and 0.4 GB are free" in shown
    monkeypatch.setattr("trainer.loop.loop.load_base", pretrained.load_base)
    assert type_it(shown) == IN_BF16


def test_a_loss_that_is_no_number(begin, type_it, monkeypatch):
    import torch

    step_with(
        monkeypatch,
        lambda trainer, *_, **__: trainer.args.learning_rate < 0.02,
        lambda: torch.tensor(torch.nan, requires_grad=True),
    )
    _, shown = begin()
    assert "the loss is nan at step 1" in shown
    assert type_it(shown) == "--overwrite --set lr=0.01"


def test_rows_that_see_each_other(begin, type_it, monkeypatch):
    plain = selftest.packed

    def leaking(trainer, rows):
        apart = 0 if trainer.pass_tokens == 1 else 5
        return [found + apart for found in plain(trainer, rows)]

    monkeypatch.setattr(selftest, "packed", leaking)
    _, shown = begin()
    assert "attention over packed rows is not the model's own" in shown
    assert type_it(shown) == "--resume --set plan.tokens=1"


def test_more_processes_than_cards(begin, type_it, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    _, shown = begin("plan.processes=2")
    assert "plan.processes = 2, and this machine has 1 cards" in shown
    assert type_it(shown) == "--resume --set plan.processes=null"


def test_a_process_that_was_killed(begin, type_it, tmp_path, monkeypatch):
    def die(*_args, **_kwargs):
        raise local._cause([-9, None], {}, 2)

    with monkeypatch.context() as patch:
        patch.setattr(local, "wanted", lambda _: 2)
        patch.setattr(local, "train", die)
        _, shown = begin()
    assert "process 1 of 2 ended by SIGKILL without an error message" in shown
    assert type_it(shown) == "--resume"


def test_a_full_disk(begin, type_it, monkeypatch):
    import torch

    def full(*_args, **_kwargs):
        raise RuntimeError("PytorchStreamWriter failed writing file")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        code, shown = begin()
    assert code == NoSpace.exit_code
    assert type_it(shown) == "--resume"


def test_an_interrupt(begin, type_it, monkeypatch):
    import signal

    with monkeypatch.context() as patch:
        patch.setattr(pretrained, "load_tokenizer", lambda _: os.kill(os.getpid(), signal.SIGINT))
        code, shown = begin()
    assert code == 130
    assert type_it(shown) == "--resume"


@pytest.fixture
def unfinished(begin, tmp_path):
    """A run with checkpoints whose result was lost."""
    begin("checkpoint.steps=1")
    (tmp_path / "run" / manifest.NAME).unlink()
    return tmp_path / "run"


def test_another_precision(unfinished, type_it, capsys):
    (mark, *_) = sorted(unfinished.glob("checkpoints/*/checkpoint.json"))[-1:]
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"precision": "bf16"}))
    code = run_main(command._main, [str(unfinished / "job.json"), "--resume"])
    assert code == ResumeRefused.exit_code
    shown = capsys.readouterr().err
    assert "the run was started in bf16 and would continue in fp32" in shown
    assert type_it(shown) == "--resume --set allow_precision_change=true"


def test_what_a_device_makes_of_the_job_may_change_and_what_decides_the_result_may_not(
    unfinished, type_it, capsys
):
    path = unfinished / "job.json"
    free = ["plan.tokens=20", "plan.recompute=1", "checkpoint.keep=1", "samples=0"]
    refused = ["lr=0.01", "max_length=64", "precision=bf16", "lora.r=8", "batch_size=2", "seed=1"]
    for setting in refused:
        code = run_main(command._main, [str(path), "--resume", "--set", setting])
        shown = capsys.readouterr().err
        assert code == 2
        assert f"a resumed run keeps its {setting.split('=')[0]}" in shown
        assert "may change: plan.*, checkpoint.*, samples, and with --allow-precision" in shown
    sets = [word for setting in free for word in ("--set", setting)]
    assert run_main(command._main, [str(path), "--resume", *sets]) == 0
    job = Job.from_json(path)
    assert (job.plan.tokens, job.plan.recompute, job.checkpoint.keep, job.samples) == (20, 1, 1, 0)
    code = run_main(command._main, [str(path), "--resume", "--lr", "0.01", "--set", "samples=1"])
    assert type_it(capsys.readouterr().err) == "--overwrite --set samples=1 --set lr=0.01"
    assert Job.from_json(path).lr == 0.01


def test_a_program_is_told_which_settings_to_change(begin, tmp_path, monkeypatch):
    step_with(monkeypatch, lambda *_, **__: False)
    begin()
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    (failed,) = [event for event in found if isinstance(event, events.Failed)]
    assert failed.settings == ["plan.recompute=1"]
    assert "python" not in failed.hint


def test_an_evaluation_is_taken_again_with_smaller_micro_batches(begin, tmp_path, monkeypatch):
    """The loss is that of an evaluation that had room."""
    data = f"eval_data={tmp_path / 'rows.jsonl'}"

    def loss():
        found, _ = events.read(tmp_path / "run" / "events.jsonl")
        return [event.loss for event in found if isinstance(event, events.Eval)]

    def alone(_, inputs):
        return inputs["input_ids"].numel() < 200

    def cublas():
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")

    assert begin(data)[0] == 0
    plenty = loss()
    Path(tmp_path / "run").rename(tmp_path / "plenty")
    monkeypatch.setattr(HELD_OUT, unless(alone, selftest.log_probs, cublas))
    assert begin(data)[0] == 0
    assert loss() == pytest.approx(plenty, abs=1e-5)
    found, _ = events.read(tmp_path / "run" / "events.jsonl")
    warned = [event.message for event in found if isinstance(event, events.Warning)]
    assert any("while the loss of held-out rows is measured at step 0" in text for text in warned)
