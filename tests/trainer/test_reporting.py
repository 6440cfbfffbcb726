import os

from trainer.pipe import open_events
from trainer.reporting import Reporter


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
