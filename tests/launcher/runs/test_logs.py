import fcntl
import tracemalloc

import pytest

from launcher.runs import run_folder
from launcher.runs.logs import BLOCK, lines
from launcher.world import World
from trainer.contract import events
from trainer.contract.event_text import line


class Clock(World):
    """At every sleep the next of ``writes`` happens."""

    def __init__(self, *writes):
        self.writes = iter(writes)

    def sleep(self, seconds, *, stop=None):
        next(self.writes)()


@pytest.fixture
def run(tmp_path):
    return run_folder.Run("a", tmp_path)


def told(run, *, follow=False, world=None):
    found = lines(run, follow=follow, as_json=False, world=world or World())
    return [text.removeprefix("train.log | ") for text in found]


def test_lines_come_whole_wherever_the_blocks_end(run):
    # Of every length, so that blocks end within lines, between them, and within a letter.
    text = [f"{number} {'ä' * (number % 997)}" for number in range(4000)]
    run.log.write_text("\n".join(text))
    assert run.log.stat().st_size > 3 * BLOCK
    assert told(run) == text


def test_a_log_of_any_size_takes_little_memory(run):
    with run.log.open("wb") as file:
        for _ in range(64):
            file.write((b"x" * (BLOCK // 8 - 1) + b"\n") * 8)
        file.write(b"no end" * (4 * BLOCK))  # a line longer than memory should hold
    tracemalloc.start()
    try:
        length = sum(len(text) for text in lines(run, follow=False, as_json=False, world=World()))
        assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK
    finally:
        tracemalloc.stop()
    assert length > run.log.stat().st_size


def test_what_the_trainer_prints_as_an_event_is_told_once(run):
    seen = [
        events.Phase(seq=1, time=1.0, name="model", detail="loading"),
        events.Checkpoint(seq=2, time=2.0, step=1, path="checkpoints/checkpoint-1"),
    ]
    run.events.write_text("".join(f"{event.model_dump_json()}\n" for event in seen))
    printed = [line(event) for event in seen]
    run.log.write_text("\n".join([*printed, "only in the log", printed[0]]) + "\n")
    found = told(run)
    assert [text[10:] for text in found[:2]] == printed
    # A second line of the same words stands for no event.
    assert found[2:] == ["only in the log", printed[0]]


def test_following_tells_each_line_once_it_is_whole(run):
    with run.log.open("w") as log, run_folder.lock(run.trainer_lock, world=World()) as fd:

        def write(text):
            def at_that_time():
                log.write(text)
                log.flush()

            return at_that_time

        def end():
            write("three")()
            fcntl.flock(fd, fcntl.LOCK_UN)

        world = Clock(write("one\ntw"), write("o\n"), write("x" * 3 * BLOCK), write("\n"), end)
        found = told(run, follow=True, world=world)
    assert found[:2] == ["one", "two"]
    assert "".join(found[2:-1]) == "x" * 3 * BLOCK
    assert found[-1] == "three"
