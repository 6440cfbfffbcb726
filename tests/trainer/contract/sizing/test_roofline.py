"""The bound against published runs; against the traced kernels: test_counted.py."""

import pytest

from trainer.contract.sizing import roofline
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.memory import KNOWN, Architecture, Setting


def test_operations_of_a_forward_pass_by_hand():
    """A third of 6 an adapter's, half of 4 a weight's; attention 2 x 4096 x 2048 x 36."""
    qwen = KNOWN["Qwen/Qwen2.5-3B-Instruct"]
    setting = Setting(precision="bf16", rank=16, tokens=4096, recomputed=0)
    kernels = roofline.evaluation(qwen, setting, context=4096, scored=1)
    found = sum(kernel.times * kernel.flops for kernel in kernels) / 4096
    head, adapter = 151_936 * 2048, 16 * 1_870_848
    expected = 2 * qwen.linear + 2 * 4096 * 2048 * 36 + 2 * head + 2 * adapter
    assert found == pytest.approx(expected)
    assert found / 1e9 == pytest.approx(6.84, abs=0.01)


# The published s/iter is for 8 micro-batches.
@pytest.mark.parametrize(
    ("tokens", "seconds", "share"), [(1024, 2.8, 0.62), (4096, 10.1, 0.72), (8192, 21.3, 0.73)]
)
def test_qwens_published_lora_runs_reach_about_the_assumed_share(tokens, seconds, share):
    """README of QwenLM/Qwen: LoRA of rank 64 on Qwen-7B, every layer recomputed, one A100-SXM4-80GB."""
    qwen = Architecture(
        hidden=4096, layers=32, heads=32, kv_heads=32, head_dim=128, ffn=11008, vocab=151936,
        tied=False, qkv_bias=True,
    )  # fmt: skip
    setting = Setting(precision="bf16", rank=64, tokens=tokens, recomputed=32)
    card = CARDS["NVIDIA A100-SXM4-80GB"]
    bound = roofline.rate(qwen, setting, card, context=tokens, scored=1.0)
    assert 8 * tokens / seconds / bound == pytest.approx(share, abs=0.006)
