import runpy
import threading
from itertools import islice
from pathlib import Path

import pytest

from launcher.errors import (
    KeyForbidden,
)
from launcher.runpod_api.logs import read_events
from trainer.contract.command.errors import NotFound

FAKE = runpy.run_path(str(Path(__file__).with_name("fake_api.py")))
DROP = FAKE["DROP"]
LOGS = FAKE["LOGS"]
problem = FAKE["problem"]
event = FAKE["event"]
stream = FAKE["stream"]


def test_the_log_is_one_sequence_over_broken_streams(fake, api):
    fake.on(
        "GET",
        LOGS,
        stream(event(1, "pulling", "system"), event(2, "same"), event(3, "same")),
        problem(503, "busy"),
        stream(event(2, "same"), event(3, "same"), event(4, "same"), event(5, "a")[:-20]),
        DROP,
        stream(event(5, "a"), event(6, "end")),
    )
    lines = (line for line in api.logs("abc123", quiet=5.0) if line is not None)
    assert [(line.id[:2], line.line) for line in islice(lines, 6)] == [
        ("t1", "pulling"),
        ("t2", "same"),
        ("t3", "same"),
        ("t4", "same"),
        ("t5", "a"),
        ("t6", "end"),
    ]
    cursors = [asked[4]["Last-Event-ID"] for asked in fake.asked]
    assert cursors == [
        None,
        "t3/000000000003",
        "t3/000000000003",
        "t4/000000000004",
        "t4/000000000004",
    ]
    assert fake.asked[0][2] == {"tail": "5000"}


def test_lines_that_are_really_the_same_stay(fake, api):
    again = event(1, "step")
    fake.on("GET", LOGS, stream(again, again, again), stream(*[again] * 4, event(2, "end")))
    lines = (line for line in api.logs("abc123") if line is not None)
    assert [line.line for line in islice(lines, 5)] == [*["step"] * 4, "end"]


def test_a_silent_log_lets_the_caller_look_elsewhere(fake, api, slept):
    done = threading.Event()
    fake.on("GET", LOGS, stream(event(1, "one"), then=lambda: done.wait(10)))
    lines = api.logs("abc123", source="system", quiet=0.1)
    assert next(lines).line == "one"
    assert next(lines) is None
    assert next(lines) is None
    done.set()
    assert slept == []
    assert fake.asked[0][2]["source"] == "system"


def test_a_pod_too_young_for_logs_is_waited_for(fake, api):
    fake.on("GET", LOGS, problem(404, "?"), problem(404, "?"), stream(event(1, "hello")))
    found = list(islice(api.logs("abc123"), 3))
    assert found[:2] == [None, None]
    assert found[2].line == "hello"


def test_the_log_of_a_pod_that_is_gone_ends(fake, api, slept):
    with pytest.raises(NotFound):
        list(api.logs("nope"))
    assert 30 < sum(slept) < 120


def test_a_log_that_the_key_may_not_read(fake, api):
    fake.on("GET", LOGS, problem(403, "denied"))
    with pytest.raises(KeyForbidden):
        next(api.logs("abc123"))


def test_events_are_read_with_or_without_blank_lines_comments_and_rubbish():
    text = (
        ": hello\n"
        'id: 1/1\ndata: {"ts":"1","source":"container","line":"first"}\n'  # as the spec's example
        'id:2/2\nevent: log\nretry: 3\ndata: {"ts":"2",\ndata: "line":"two: parts"}\n\n'
        "data: not json\n\n"
        'data: {"line": "no id"}\n\n'
        'data: {"line": "id after"}\nid: 3/3\n\n'
        'id: 4/4\ndata: {"line": "torn'
    )
    found = list(read_events(iter(text.split("\n"))))
    assert found[0] is None
    assert [(line.id, line.line) for line in found[1:] if line] == [
        ("1/1", "first"),
        ("2/2", "two: parts"),
        ("", "no id"),
        ("3/3", "id after"),
    ]
