"""The GPU bench runs, at toy shapes; its figures mean nothing here."""

import pytest

from tests.bench import gpu


# TRL's own defaults in the seed's script warn, and bitsandbytes on a CPU.
@pytest.mark.filterwarnings("ignore")
def test_the_whole_bench_runs_at_toy_shapes(tmp_path):
    place = gpu.main(["--toy", "--out", str(tmp_path)])
    lines = [line for line in place.read_text().splitlines() if line.startswith("| toy |")]
    assert len(lines) == 6
    assert all(line.split(" | ")[4].replace(",", "").isdigit() for line in lines)
    assert "-toy-cpu-" in place.name
