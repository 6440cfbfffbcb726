import os

from trainer.contract import events
from trainer.processes.pipe import open_events
from trainer.reporting import Reporter, RowsDone


def test_a_stage_that_takes_long_tells_how_far_it_is(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("trainer.reporting.time.monotonic", lambda: now)
    with open_events(tmp_path / "events.jsonl") as writer:
        done = RowsDone(Reporter(writer, print, tmp_path / "log"), "data", "tokenised", 2000)
        for _ in range(1000):
            now += 0.0105
            done.one()
    told, _ = events.read(tmp_path / "events.jsonl")
    assert [event.detail for event in told if isinstance(event, events.Phase)] == [
        "tokenised 200 of 2,000 rows, 19s left",
        "tokenised 677 of 2,000 rows, 14s left",
    ]


def test_a_line_stands_once_in_the_log_whoever_writes_it(tmp_path, capfd):
    log = tmp_path / "train.log"
    with open_events(tmp_path / "events.jsonl") as writer:
        Reporter(writer, print, log).line("apart")
        assert log.read_text() == "apart\n"
        kept = os.dup(1)
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        try:
            said: list[str] = []
            reporter = Reporter(writer, said.append, log)
            reporter.line("said into the log")
            reporter.note("for the log alone")
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(descriptor)
    assert said == ["said into the log"]
    assert log.read_text() == "apart\nfor the log alone\n"
