"""What only a card can show: the flash path of packed attention, and a whole run in bf16 and NF4."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("window", [None, 1, 4, 300])
def test_one_flash_call_is_attention_row_by_row(window):
    import torch

    from trainer.attention.kernels import _row_by_row, _varlen

    torch.manual_seed(0)
    lengths = [5, 300, 1, 1000]
    borders = torch.tensor([0, 5, 305, 306, 1306], dtype=torch.int32, device="cuda")
    shapes = [(1, heads, sum(lengths), 64) for heads in (8, 2, 2)]
    states = [torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in shapes]
    for each in states:
        each.requires_grad_()
    query, key, value = states
    ours = _varlen(query, key, value, borders, max(lengths), window, None)
    plain = _row_by_row(query, key, value, borders, max(lengths), window, None)
    torch.testing.assert_close(ours, plain, atol=0.02, rtol=0.02)
    weights = torch.randn_like(plain)
    left = torch.autograd.grad((ours * weights).sum(), states)
    right = torch.autograd.grad((plain * weights).sum(), states)
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("window", [(-1, 0), (0, 0), (3, 0), (299, 0)])
def test_the_plain_reference_of_the_cpu_tests_is_the_kernel(window):
    import torch
    from torch.nn.attention import varlen

    from tests.trainer.attention.varlen import varlen_attn

    torch.manual_seed(0)
    borders = torch.tensor([0, 5, 305, 306, 1306], dtype=torch.int32, device="cuda")
    shapes = [(1306, heads, 64) for heads in (8, 2, 2)]
    states: Any = [torch.randn(s, device="cuda", dtype=torch.bfloat16) for s in shapes]
    given = (*states, borders, borders, 1000, 1000)
    how: dict[str, Any] = {"scale": 0.2, "window_size": window, "enable_gqa": True}
    theirs, plain = (attend(*given, **how) for attend in (varlen.varlen_attn, varlen_attn))
    torch.testing.assert_close(theirs, plain, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_a_whole_run_is_proved_and_its_memory_is_measured(base_model, tmp_path, precision):
    from transformers.utils import is_liger_kernel_available

    from trainer.contract import events, manifest
    from trainer.contract.job import from_sources
    from trainer.start_training import train

    data, output = tmp_path / "rows.jsonl", tmp_path / "run"
    chats = [
        [{"role": "user", "content": f"{n} mean?"}, {"role": "assistant", "content": "submit(1)"}]
        for n in range(16)
    ]
    data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    places = {"model": str(base_model), "data": str(data), "output": str(output)}
    settings = ["max_steps=4", "lr=0.01", "max_length=256", f"precision={precision}"]
    job = from_sources(None, settings, places)
    train(job, resume=False, overwrite=False, say=lambda _: None)
    assert manifest.verify(output).complete
    found, _ = events.read(output / "events.jsonl")
    (probed,) = [event for event in found if isinstance(event, events.TrialStep)]
    assert probed.peak_bytes is not None
    (chosen,) = [event for event in found if isinstance(event, events.Kernels)]
    if is_liger_kernel_available():
        assert chosen.finding == "loss agrees"
    losses = [event.loss for event in found if isinstance(event, events.Step)]
    assert losses[-1] < losses[0]
