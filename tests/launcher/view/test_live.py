import re

import pytest

from launcher.view.live import flow, unwrapped
from tests.launcher.view.made import answers, rendered, step
from trainer.contract import events
from trainer.contract.event_text import line


def test_a_card_shows_how_busy_it_is_and_a_cpu_does_not():
    assert "  567 trained/s  GPU 0%  1:32 left" in line(step(3, gpu_use=0))
    for use, said in ((97, True), (None, False)):
        live, out, _ = rendered(80, 24)
        with live:
            live.event(step(1, gpu_use=use))
        assert ("GPU 97%" in out.getvalue()) is said
        assert ("GPU" in out.getvalue()) is said


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
