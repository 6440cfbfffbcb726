import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from launcher.view.live import LiveView, flow, unwrapped
from launcher.view.plain import JsonView, Pace, PlainView, clock, compared_lines, line, size
from launcher.world import World
from trainer.contract import events
from trainer.contract.errors import NoSpace


class Clock(World):
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


def step(number: int, steps: int = 100, loss: float = 1.0, **more: Any) -> events.Step:
    return events.Step(
        step=number,
        steps=steps,
        epoch=0.5,
        loss=loss,
        lr=1e-3,
        tokens=10,
        trained_tokens=4,
        tokens_per_second=1234.0,
        trained_tokens_per_second=567.0,
        seconds_left=92.0,
        memory_bytes=3 << 29,
        **more,
    )


APART = {events.Step, events.Data}  # the one is tested here, the other is for the report alone


def test_a_step_shows_loss_rates_and_time_left():
    assert line(step(3)) == (
        "step 3/100  loss 1.0000  lr 1.00e-03  1,234 tokens/s  567 trained/s  1:32 left"
    )


def test_a_card_shows_how_busy_it_is_and_a_cpu_does_not():
    assert "  567 trained/s  GPU 0%  1:32 left" in line(step(3, gpu_use=0))
    for use, said in ((97, True), (None, False)):
        live, out, _ = rendered(80, 24)
        with live:
            live.event(step(1, gpu_use=use))
        assert ("GPU 97%" in out.getvalue()) is said
        assert ("GPU" in out.getvalue()) is said


@pytest.mark.parametrize("kind", [k for k in events.KINDS.values() if k not in APART])
def test_every_event_has_a_line(kind):
    values = {
        "str": "text",
        "int": 3,
        "float": 0.5,
    }
    fields = {
        name: values[field.annotation.__name__]
        for name, field in kind.model_fields.items()
        if field.is_required() and name != "type"
    }
    assert line(kind(**fields))
    assert line(events.Unknown(type="new")) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1:00"), (92, "1:32"), (7509, "2:05:09"), (-1, "0s")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds_each", "lines"), [(0.001, 2), (0.05, 6), (0.5, 11), (2, 21), (60, 100)]
)
def test_pace_is_a_line_a_second_or_ten_steps_or_ten_seconds(seconds_each, lines):
    world = Clock()
    pace = Pace(world)
    shown = 0
    for number in range(1, 101):
        shown += pace.due(number, 100)
        world.time += seconds_each
    assert shown == pytest.approx(lines, abs=1)


def test_progress_tells_rate_and_time_left():
    world, out = Clock(), io.StringIO()
    plain = PlainView(out, world=world)
    for number in range(11):
        plain.progress("asking", number, 10)
        world.time += 2
    assert out.getvalue().splitlines()[0] == "asking 0/10"
    assert "asking 5/10  0.5/s  10s left" in out.getvalue()
    assert "asking 10/10" in out.getvalue().splitlines()[-1]


def test_bytes_are_shown_as_people_write_them():
    world, out = Clock(), io.StringIO()
    plain = PlainView(out, world=world)
    for name, total in (("upload (bytes)", 40_000_000), ("pull (bytes)", 3_000_000_000)):
        for done in (0, total // 2):
            plain.progress(name, done, total)
            world.time += 20
    plain.progress("upload (bytes)", 0, 0)
    assert out.getvalue().splitlines() == [
        "upload 0.0/40.0 MB",
        "upload 20.0/40.0 MB  1 MB/s  20s left",
        "pull 0.0/3.0 GB",
        "pull 1.5/3.0 GB  0.075 GB/s  20s left",
        "upload 0.0/0.0 kB",
    ]


def test_json_lines_carry_everything_and_end_with_the_fault():
    out = io.StringIO()

    def story(shown: JsonView) -> None:
        with shown:
            shown.say("hello")
            shown.progress("a", 1, 2)
            shown.event(step(1))
            raise NoSpace("full", "free some")

    with pytest.raises(NoSpace):
        story(JsonView(out, world=World()))
    told = [json.loads(text) for text in out.getvalue().splitlines()]
    assert [x["type"] for x in told] == ["note", "progress", "step", "outcome"]
    assert told[-1]["exit_code"] == 8
    assert told[-1]["hint"] == "free some"


def rendered(width: int, height: int) -> tuple[LiveView, io.StringIO, Clock]:
    out, world = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    return LiveView(console, world=world), out, world


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (30, 6), (200, 60)])
def test_the_picture_fits_its_terminal(width, height):
    live, out, world = rendered(width, height)
    with live:
        live.say("[not markup]")
        live.recall([step(n, loss=5.0) for n in range(1, 20)])
        assert "step" not in out.getvalue()
        for number in range(20, 101):
            live.event(step(number, loss=5.0 / number))
            world.time += 1
        live.event(events.Warning(message="careful"))
        live.result({}, ["adapter here"])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "[not markup]" in text
    assert "warning: careful" in text
    assert "step 100/100" in text
    assert text.rstrip().endswith("adapter here")
    last = text.rsplit("step 100/100", 1)[1]
    assert len(last.splitlines()) < height
    assert all(len(row) <= width for row in text.replace("\r", "\n").splitlines())


def test_the_picture_tells_for_how_long_a_silent_phase_goes_on():
    live, out, world = rendered(80, 24)

    def shown() -> str:
        out.seek(0)
        out.truncate()
        world.time += 1
        live.tick()
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())

    with live:
        live.event(events.Phase(name="model", detail="loading"))
        assert re.search(r"model: loading *$", shown(), re.MULTILINE)
        assert "model: loading  2s" in shown()
        live.event(step(1))
        assert not re.search(r"model: loading  \d", shown())
        live.event(events.Phase(name="proof", detail="loading"))
        shown()
        assert "proof: loading  2s" in shown()


def test_the_picture_shows_a_stage_without_events():
    live, out, world = rendered(80, 24)
    with live:
        for number in range(11):
            live.progress("asking", number, 10)
            world.time += 1
    assert "asking 5/10" in out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (20, 8)])
def test_the_picture_tells_money_memory_and_the_last_sample(width, height):
    live, out, world = rendered(width, height)
    with live:
        live.bill(lambda: (world.time - 1000) / 100, 2.0)
        live.event(events.Sample(step=1, prompt="?", text="print(\n  42)"))
        for number in range(1, 51):
            live.event(step(number))
            world.time += 1
        live.tick()
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert all(len(row) <= width for row in text.replace("\r", "\n").splitlines())
    if width >= 40:
        assert "$0.50 so far, at most $2.00" in text
        assert "sample: print( 42)" in text
        assert "567 trained/s" in text
        assert "1.6 GB" in text


@pytest.mark.parametrize("width", [80, 40])
def test_the_picture_tells_how_far_an_evaluation_is(width):
    live, out, world = rendered(width, 24)
    with live:
        live.event(step(100))
        for number in range(21):
            live.event(
                events.Answers(
                    label="adapter", questions=20, answered=number, right=number // 2, won=3, lost=1,
                    seconds_left=20.0 - number, sample="submit(42)",
                )
            )  # fmt: skip
            world.time += 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "adapter 7/20 answered  13s left" in text
    assert "3 right  won 3  lost 1" in text
    assert "submit(42)" in text
    bars = [row for row in text.replace("\r", "\n").splitlines() if "━" in row]
    assert bars
    assert all(len(row) <= width for row in bars)


def test_plain_lines_tell_money_with_each_step():
    out, world = io.StringIO(), Clock()
    plain = PlainView(out, world=world)
    plain.event(step(100))
    plain.bill(lambda: 0.25, 2.0)
    world.time += 100
    plain.event(step(100))
    first, second = out.getvalue().splitlines()
    assert second == f"{first}  $0.25 so far, at most $2.00"


def test_a_picture_that_was_wrapped_is_taken_away():
    assert unwrapped([70, 30, 0], 80) == unwrapped([], 10) == ""
    assert unwrapped([70, 30, 0], 30) == "\r\x1b[4A\x1b[J\n\n"


def test_words_flow_into_lines():
    assert flow(["aa", "bb", "cc"], 6) == ["aa  bb", "cc"]
    assert flow(["a long word", "b"], 4) == ["a long word", "b"]
    assert flow([], 4) == []


def test_a_repeated_step_replaces_the_first_one():
    live, _, _ = rendered(80, 24)
    with live:
        for number, loss in [(1, 3.0), (2, 2.0), (3, 1.0), (2, 9.0)]:
            live.event(step(number, loss=loss))
        assert live._losses == [3.0, 9.0]


def test_other_commands_may_print_between_two_pictures():
    live, out, _ = rendered(80, 24)
    with live:
        live.event(step(100))
        live.event(events.Done(manifest="manifest.json"))
        before = out.getvalue()
        live.tick()
        assert out.getvalue() == before
        live.progress("asking", 1, 1)
    assert out.getvalue().count("\x1b[?25h") == 2  # the cursor comes back each time


def test_base_against_adapter_is_one_line_also_when_it_got_worse():
    found = {"n": 40, "base": 0.5, "adapter": 0.25, "difference": -0.25, "more": {}}
    assert compared_lines(found) == ["tasks    0.500 -> 0.250 (-0.250), 40 questions answered"]
    assert compared_lines({"n": 40, "base": None}) == []


def answers(done: int, **more: float) -> events.Answers:
    return events.Answers(
        label="adapter", questions=40, answered=done, right=done // 2, won=2, lost=1,
        sample='What is the largest "x"? -> 3 (right)', **more,
    )  # fmt: skip


def test_an_evaluation_tells_how_far_it_is():
    assert line(answers(8, seconds_left=92.0)) == (
        "adapter 8/40 answered, 4 right, won 2, lost 1, 1:32 left; "
        'last: What is the largest "x"? -> 3 (right)'
    )
    alone = events.Answers(label="base", questions=9, answered=0, right=0)
    assert line(alone) == "base 0/9 answered, 0 right"


def test_plain_lines_of_an_evaluation_are_few_and_the_last_is_there():
    out, world = io.StringIO(), Clock()
    with PlainView(out, world=world) as view:
        for done in range(41):
            view.event(answers(done))
            world.time += 0.25
    text = out.getvalue().splitlines()
    assert len(text) < 8
    assert text[0].startswith("adapter 0/40")
    assert text[-1].startswith("adapter 40/40")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (30, 6)])
def test_the_picture_shows_how_far_an_evaluation_is_in_the_place_of_the_training(width, height):
    live, out, world = rendered(width, height)
    with live:
        live.event(step(100))
        live.event(events.Done(manifest="m"))
        live.event(events.Phase(name="evaluate", detail="t.jsonl"))
        for done in range(41):
            live.event(answers(done, seconds_left=9.0))
            world.time += 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    after = text[text.rindex("evaluate: t.jsonl") :]
    assert "adapter 4" in after
    assert "step 100" not in text.split("evaluate: t.jsonl", 1)[1]
    assert "What is the" in after
    assert "adapter 40/40 answered, 20 right, won 2, lost 1" in text
    assert all(len(row) <= max(width, 60) for row in text.replace("\r", "\n").splitlines())


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999 bytes"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3_400_000_000, "3.4 GB")],
)
def test_sizes_as_people_write_them(count, text):
    assert size(count) == text
