"""Judges: TRL's table of peaks, and torch's of bandwidths, which cites NVIDIA's data sheets."""

import pytest
from torch._inductor.analysis.device_info import lookup_device_info
from trl.trainer.utils import get_peak_flops

from trainer.contract.sizing.cards import CARDS

# TRL has an A10G like an A10; 80 of an L4's 121 are assumed.
OTHERS = {"NVIDIA A10G", "NVIDIA L4"}


@pytest.mark.parametrize("name", sorted(CARDS.keys() - OTHERS))
def test_a_peak_is_trls_where_trl_has_it(name):
    peak = get_peak_flops(name, "bfloat16")
    if peak is not None:
        assert CARDS[name].peak == pytest.approx(peak / 1e12, rel=0.005)


@pytest.mark.parametrize(
    ("name", "known"),
    [("NVIDIA A100-SXM4-80GB", "NVIDIA A100"), ("NVIDIA H100 80GB HBM3", "NVIDIA H100")],
)
def test_a_bandwidth_is_torchs(name, known):
    found = lookup_device_info(known)
    assert found is not None
    assert CARDS[name].bandwidth == found.dram_bw_gbs
