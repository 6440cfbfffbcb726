"""What was expected of a run beside what was measured, on the page and for programs."""

import json
from typing import Any

import pytest

from launcher import report
from launcher.report.expected import expectations
from launcher.runs.run_folder import Run
from tests.launcher.report.made import make_run
from trainer.contract import events

PROBE = events.TrialStep(
    tokens=8000, seconds=2.0, tokens_per_second=4000.0, peak_bytes=9 << 29, predicted_bytes=4 << 30
)
KERNELS = events.Kernels(used=True, plain_seconds=2.42, fused_seconds=2.0, finding="loss agrees")


def step(number: int, rate: float, **more: Any) -> events.Step:
    return events.Step(
        step=number, steps=4, epoch=1.0, loss=1.0, lr=1e-4, tokens=number * 100, trained_tokens=number,
        tokens_per_second=rate, trained_tokens_per_second=1.0, seconds_left=1.0, memory_bytes=1, **more,
    )  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Run:
    """On a card, of which the first step does not know yet how busy it is; quoted at half an hour."""
    made = make_run(tmp_path / "run")
    with events.Writer(made.events) as writer:
        writer.emit(PROBE)
        writer.emit(KERNELS)
        for number, rate, use in ((1, 2000.0, None), (2, 5000.0, 90), (3, 6000.0, 97)):
            writer.emit(step(number, rate, gpu_use=use, mfu=0.01 * number))
    quote = {"v": 1, "what": "quote", "stage": "fact", "time": 2.0, "facts": {"likely_hours": 0.5}}
    with made.journal.open("a") as journal:
        journal.write(json.dumps(quote) + "\n")
    return made


def test_memory_rate_and_time_with_the_error():
    found = expectations(PROBE, [step(1, 5000.0)], likely=600.0, took=1200.0)
    assert [one.shown for one in found] == [
        ("4.3 GB", "4.8 GB", "+12%"),
        ("4,000", "5,000", "+25%"),
        ("10:00", "20:00", "+100%"),
    ]


def test_what_is_not_known_is_not_told():
    assert expectations(None, [step(1, 5000.0)], likely=None, took=60.0) == []
    on_cpu = events.TrialStep(tokens=1, seconds=1.0, tokens_per_second=1.0)
    assert expectations(on_cpu, [], likely=600.0, took=0.0) == []


def test_the_page_and_the_json_tell_it(run):
    page = report.write(run).read_text("utf-8")
    told = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert "<th>memory of the trial step<td>4.3 GB<td>4.8 GB<td>+12%" in page
    memory, rate, time = told["expected"]
    assert memory["error"] == 0.125
    assert (rate["expected"], rate["measured"], rate["unit"]) == (4000.0, 5000.0, "tokens/s")
    assert time["expected"] == 1800.0
    assert told["curves"]["gpu_use"] == [None, 90, 97]
    assert told["curves"]["mfu"] == [1.0, 2.0, 3.0]
    assert "<th>GPU utilisation<td>94% on average" in page
    assert "<th>share of the GPU&#39;s peak rate (MFU)<td>2% on average" in page
    assert "<th>fused kernels<td>1.21 times as fast as plain, loss agrees; used" in page
    assert (told["kernels"]["plain_seconds"], told["kernels"]["fused_seconds"]) == (2.42, 2.0)
    assert "GPU, in percent. utilisation: 90 at step 1, 97 at step 3; share of the peak" in page


def test_a_run_without_a_card_has_none_of_it(tmp_path):
    made = make_run(tmp_path / "run")
    page = report.write(made).read_text("utf-8")
    assert "Expected and measured" not in page
    assert "GPU utilisation" not in page
    assert "fused kernels" not in page
    assert "GPU, in percent" not in page
