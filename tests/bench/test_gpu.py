"""The GPU bench runs, at toy shapes; its figures mean nothing here."""

import pytest

from tests.bench import gpu
from tests.bench.gpu_parts import PARTS, estimate
from trainer.contract.sizing.memory import KNOWN


def lines(place) -> list[list[str]]:
    table = place.read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in table if line.startswith("| toy |")]


# TRL's own defaults in the seed's script warn, and bitsandbytes on a CPU.
@pytest.mark.filterwarnings("ignore")
def test_the_whole_bench_runs_at_toy_shapes(tmp_path):
    place = gpu.main(["--toy", "--out", str(tmp_path)])
    assert {tuple(line[1:4]) for line in lines(place)} == {
        (part.precision, part.mix, part.way) for part in PARTS
    }
    assert all(line[4].replace(",", "").isdigit() for line in lines(place))
    assert "-toy-cpu-" in place.name


def test_what_does_not_fit_the_time_is_left_out_and_written(tmp_path):
    place = gpu.main(["--toy", "--minutes", "0", "--out", str(tmp_path)])
    assert [line[4].partition(":")[0] for line in lines(place)] == ["left out"] * len(PARTS)


def test_each_recipe_in_both_precisions_and_the_seed_fit_eight_minutes_of_an_h100():
    reached, total = set(), 0.0
    for name, part, expected in estimate(KNOWN, "NVIDIA H100 80GB HBM3"):
        total += expected
        if total <= 8 * 60:
            reached.add((name, part.way, part.precision))
    ways = (("ours", "bf16"), ("ours", "nf4"), ("seed", "nf4"))
    assert reached == {(name, *way) for name in KNOWN for way in ways}
