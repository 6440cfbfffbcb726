"""The choice between plain and fused kernels, with stand-ins for Liger, which the CPU's environment lacks.

``tests/bench/kernels.py`` compares Liger's own kernels with transformers.
"""

from types import SimpleNamespace

import pytest
import torch
from transformers.integrations import liger
from transformers.models.qwen2 import modeling_qwen2 as qwen2

from tests.trainer.loop.test_trial_step import of, train
from trainer.contract import events

PLAIN = qwen2.Qwen2MLP.forward
clock = SimpleNamespace(now=0.0)


def taking(seconds, factor=1.0):
    """An MLP that takes these seconds of the clock that the trial step reads."""

    def forward(part, x):
        clock.now += seconds
        return PLAIN(part, x) * factor

    return forward


def failing(part, x):
    raise RuntimeError("no kernel image is available\nfor execution on the device")


class StandIn:
    """Replaces what Liger replaces: methods of parts, and functions and classes of the model's module."""

    def __init__(self, forward) -> None:
        self.forward = forward
        self.within: list[bool] = []

    def __call__(self, model, config):
        assert config == {"cross_entropy": False, "fused_linear_cross_entropy": False}
        rotate = qwen2.apply_rotary_pos_emb

        def rotated(*args, **kwargs):
            self.within.append(model.training and torch.is_grad_enabled())
            return rotate(*args, **kwargs)

        qwen2.apply_rotary_pos_emb = rotated
        for part in model.modules():
            if isinstance(part, qwen2.Qwen2MLP):
                part.in_place = True
                part.__dict__["forward"] = self.forward.__get__(part)


@pytest.fixture(scope="module")
def without(base_model, tmp_path_factory):
    """The losses of the run on a CPU, which tries nothing."""
    found, _ = train(base_model, tmp_path_factory.mktemp("plain") / "run", *SETTINGS)
    assert of(events.Kernels, found) == []
    return [event.loss for event in of(events.Step, found)]


SETTINGS = ("samples=0", "max_steps=2")


@pytest.fixture
def run(base_model, tmp_path, monkeypatch):
    from trainer.loop import trial_step

    monkeypatch.setattr(trial_step, "wanted", lambda _: True)
    monkeypatch.setattr(trial_step, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(qwen2.Qwen2MLP, "forward", taking(2.0))

    def start(stand_in=None):
        monkeypatch.setattr(liger, "is_liger_kernel_available", lambda: stand_in is not None)
        monkeypatch.setattr(liger, "apply_liger_kernel", stand_in)
        rotate = qwen2.apply_rotary_pos_emb
        found, _ = train(base_model, tmp_path / "run", *SETTINGS)
        assert qwen2.apply_rotary_pos_emb is rotate
        (chosen,) = of(events.Kernels, found)
        return chosen, [event.loss for event in of(events.Step, found)]

    return start


def test_the_faster_way_trains_and_only_the_training_steps_use_it(run, without):
    fast = StandIn(taking(1.0))
    chosen, losses = run(fast)
    assert (chosen.used, chosen.finding) == (True, "loss agrees")
    assert chosen.plain_seconds == 2 * chosen.fused_seconds > 0
    assert losses == without
    assert all(fast.within)
    trial, steps, layers = 3, 2, 2
    assert len(fast.within) >= layers * (trial + steps)


@pytest.mark.parametrize(
    ("forward", "finding"),
    [
        (taking(3.0), "loss agrees"),
        (taking(1.0, factor=1.2), "differs from plain by"),
        (failing, "no kernel image"),
    ],
)
def test_a_way_that_is_slower_or_wrong_or_fails_is_not_used(run, without, forward, finding):
    chosen, losses = run(StandIn(forward))
    assert not chosen.used
    assert finding in chosen.finding
    assert "\n" not in chosen.finding
    assert (chosen.fused_seconds is None) is (forward is failing)
    assert losses == without


def test_a_base_that_liger_does_not_know_stays_as_it_is(run, without):
    chosen, losses = run(lambda _model, _config: None)
    assert (chosen.used, chosen.fused_seconds) == (False, None)
    assert chosen.finding == "Liger has no kernels for a base of the type 'qwen2'"
    assert losses == without


def test_without_liger_the_run_goes_on(run, without):
    chosen, losses = run()
    assert (chosen.used, chosen.finding) == (False, "liger-kernel is not installed")
    assert losses == without
