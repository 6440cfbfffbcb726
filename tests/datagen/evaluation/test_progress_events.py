"""What is told while an evaluation runs: to people, and as events to who started it."""

import os
import time

from rich.console import Console

from datagen.evaluation import progress_events
from datagen.evaluation.progress_events import EvaluationProgress, emitter, last_answer_text
from datagen.progress import Progress
from tests.datagen.answered import both, episode
from trainer.contract import events


class Heard(list[events.Answers]):
    def __call__(self, event: events.Event) -> None:
        assert isinstance(event, events.Answers)
        self.append(event)


def told(capsys, run) -> tuple[Heard, str]:
    found = Heard()
    run(EvaluationProgress(found, {"adapter": lambda: "3 replies in progress"}))
    return found, capsys.readouterr().err


def test_lines_and_events_set_the_adapter_against_the_base(capsys, monkeypatch):
    base, adapter = both(3, 1, 2, tables=2)

    def run(watching: EvaluationProgress) -> None:
        for label, episodes in (("base", base), ("adapter", adapter)):
            with watching(label, 6) as column:
                column.found(episodes[0])
                for one in episodes[1:]:
                    column(one)
        assert watching.answered == 12

    found, text = told(capsys, run)
    assert [(e.label, e.answered) for e in found] == [
        ("base", 0), ("base", 6), ("adapter", 0), ("adapter", 6),
    ]  # fmt: skip
    last = found[-1]
    assert (last.right, last.won, last.lost, last.questions) == (5, 3, 1, 6)
    assert found[1].won is None
    assert last.sample == "? -> 1 (right)"
    lines = text.splitlines()
    assert lines[0] == "base: 0/6"
    assert lines[-1].startswith("adapter: 6 in ")
    assert lines[-1].endswith("5 right, won 3, lost 1 against the base")


def test_it_tells_though_nothing_ends(capsys, monkeypatch):
    """Within seconds, with the model's own activity on a terminal."""
    monkeypatch.setattr(progress_events, "EVENT_SECONDS", 0.0)
    monkeypatch.setattr(progress_events, "TICK_SECONDS", 0.02)
    console = Console(force_terminal=True, width=100)
    monkeypatch.setattr(Progress.__init__, "__defaults__", (console,))

    def run(watching: EvaluationProgress) -> None:
        with watching("adapter", 6):
            time.sleep(0.5)

    found = Heard()
    run(EvaluationProgress(found, {"adapter": lambda: "3 replies in progress"}))
    assert len(found) > 4
    assert {e.answered for e in found} == {0}
    assert "3 replies in progress" in capsys.readouterr().out


def test_probes_are_set_against_their_own_base(capsys):
    base, adapter = both(1, 0, 0, tables=1)

    def run(watching: EvaluationProgress) -> None:
        for label, (one,) in (("floor-base", base), ("floor-adapter", adapter)):
            with watching(label, 1) as column:
                column(one)

    assert told(capsys, run)[0][-1].won == 1


def test_a_sample_is_one_short_line():
    made = episode(1, right=False)
    question = made.question.model_copy(update={"text": "why\n" * 200})
    text = last_answer_text(made.model_copy(update={"question": question}))
    assert text.endswith("… -> 2 (wrong)")
    assert len(text) < 120
    silent = made.model_copy(update={"traces": [made.traces[0].model_copy(update={"turns": []})]})
    assert last_answer_text(silent) == "? -> no answer (wrong)"


def test_events_go_to_the_pipe_that_is_named_and_a_closed_one_is_no_failure():
    ours, theirs = os.pipe()
    emit = emitter({"SFT_EVENTS_FD": str(theirs)})
    event = events.Answers(label="base", questions=2, answered=1, right=0)
    emit(event)
    line = os.read(ours, 10_000)
    assert line.endswith(b"}\n")
    assert events.parse(line) == event
    assert not os.get_inheritable(theirs)
    os.close(ours)
    emit(event)
    os.close(theirs)
    emitter({})(event)
