import io
import json

import pytest

from launcher.view.plain import JsonView, PlainView, Rate
from launcher.world import World
from tests.launcher.view.made import Clock, answers, step
from trainer.contract.command.errors import NoSpace


@pytest.mark.parametrize(
    ("seconds_each", "lines"), [(0.001, 2), (0.05, 6), (0.5, 11), (2, 21), (60, 100)]
)
def test_pace_is_a_line_a_second_or_ten_steps_or_ten_seconds(seconds_each, lines):
    world = Clock()
    pace = Rate(world)
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


def test_plain_lines_tell_money_with_each_step():
    out, world = io.StringIO(), Clock()
    plain = PlainView(out, world=world)
    plain.event(step(100))
    plain.bill(lambda: 0.25, 2.0)
    world.time += 100
    plain.event(step(100))
    first, second = out.getvalue().splitlines()
    assert second == f"{first}  $0.25 so far, at most $2.00"


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
