"""By hand, from the data sheets: an A100 moves 2,039 GB and computes 312 TFLOP a second."""

import pytest

from tests.bench.fake_card import Kernel
from tests.bench.roofline import seconds

A100 = "NVIDIA A100-SXM4-80GB"


def test_a_kernel_takes_the_longer_of_moving_and_computing():
    added = Kernel("aten.add.Tensor", 2 * 10**9, 10**9, 0, frozenset())
    assert seconds(added, A100) == pytest.approx(3 / 2039)
    product = Kernel("aten.mm.default", 10**6, 10**6, 10**12, frozenset())
    assert seconds(product, A100) == pytest.approx(1 / 312)
    causal = Kernel("torch_attn._varlen_attn.default", 10**6, 10**6, 10**12, frozenset())
    assert seconds(causal, A100) == pytest.approx(0.5 / 312)
