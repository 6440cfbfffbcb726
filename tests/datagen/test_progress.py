import io
import itertools
import time

import pytest
from rich.console import Console

from datagen.progress import Progress


@pytest.fixture
def seconds(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr("datagen.progress.time.monotonic", lambda: now[0])
    return now


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_come_every_few_seconds_with_rate_and_details(seconds):
    console = plain()
    with Progress("episodes", 100, console, done=40, details=lambda: ["spent: $1"]) as progress:
        for _ in range(20):
            seconds[0] += 0.5
            progress.advance("7 verified")
    assert shown(console).splitlines() == [
        "episodes: 50/100, 2.0/s, 25 s left 7 verified; spent: $1",
        "episodes: 60/100, 2.0/s, 20 s left 7 verified; spent: $1",
        "episodes: 60 in 10.0 s 7 verified",
    ]


def test_a_plain_line_is_due_in_a_minute_though_nothing_ends(seconds):
    console, calls = plain(), itertools.count()
    with Progress("asking", 9, console, details=lambda: [f"in flight {next(calls)}"]) as progress:
        for _ in range(130):
            seconds[0] += 1
            progress.refresh()
    assert [line for line in shown(console).splitlines() if "0/9" in line] == [
        "asking: 0/9, 0.0/s in flight 0",
        "asking: 0/9, 0.0/s in flight 1",
    ]


def test_a_terminal_shows_the_bar_and_the_lines_under_it(seconds):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress("episodes", 4, console, details=lambda: ["yield: [all] 50%"]) as progress:
        seconds[0] += 1
        progress.advance("1 verified")
    assert "1/4" in shown(console)
    assert "yield: [all] 50%" in shown(console)


def test_a_long_note_leaves_room_for_how_far_it_is(seconds):
    console = Console(file=io.StringIO(), force_terminal=True, width=40, color_system=None)
    with Progress("adapter", 240, console) as progress:
        for _ in range(2):
            seconds[0] += 1
            progress.advance("217 right, won 217, lost 0 against the base")
    assert "2/240 1.0/s" in shown(console)
    assert "217 right, won 217, lost 0" in shown(console)


def test_a_terminal_shows_the_bar_before_the_first_one_ends(seconds):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Progress("base", 40, console):
        assert "base" in shown(console)
        assert "0/40" in shown(console)


def test_nothing_is_said_at_the_end_of_work_that_failed(seconds):
    console = plain()
    with pytest.raises(ValueError, match="x"), Progress("w", 1, console):
        raise ValueError("x")
    assert shown(console) == ""


def test_what_ends_together_counts_together_and_the_first_does_not_count_in_the_rate(seconds):
    console = plain()
    with Progress("making questions", 120, console) as progress:
        seconds[0] += 100
        progress.advance(by=20)
        progress.expect_fewer(40)
        for _ in range(2):
            seconds[0] += 10
            progress.advance(by=10)
    assert shown(console).splitlines() == [
        "making questions: 20/120, 0.0/s",
        "making questions: 30/80, 1.0/s, 50 s left",
        "making questions: 40/80, 1.0/s, 40 s left",
        "making questions: 40 in 120.0 s",
    ]


def test_it_follows_a_count_that_grows_elsewhere():
    console, made = plain(), [0]
    with Progress("making questions", 9, console) as progress, progress.following(lambda: made[0]):
        made[0] = 4
        deadline = time.monotonic() + 10
        while progress.count < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert progress.count == 4
        made[0] = 9
    assert progress.count == 9
    assert "making questions: 9 in" in shown(console)
