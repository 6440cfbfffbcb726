from types import SimpleNamespace
from typing import Any

from launcher.context import Context
from launcher.follow import watch
from launcher.runs import run_folder, status
from launcher.runs.run_state import RunState
from tests.launcher.fake_trainer import one_step
from trainer.contract import events
from trainer.contract.command.errors import Interrupted


def test_steps_are_shown_and_not_kept(tmp_path, monkeypatch, world, heard):
    """A run may take more of them than a laptop that watches many has memory for."""
    run = run_folder.Run("r", tmp_path)
    with events.Writer(run.events) as writer:
        for step in range(1, 101):
            writer.emit(one_step(step, 100))
        writer.emit(events.Checkpoint(step=100, path="checkpoints/step-100"))
        writer.emit(events.Failed(cause="interrupted", exit_code=130))
    kept: list[events.Event] = []
    judge = status.fault_of

    def noting(run, seen, **how):
        kept.extend(seen)
        return judge(run, seen, **how)

    monkeypatch.setattr(status, "fault_of", noting)
    shown: list[events.Event] = []
    monkeypatch.setattr(heard, "event", shown.append)
    work = SimpleNamespace(alive=lambda: False, exit_code=lambda: 130, lost=None)
    log: Any = SimpleNamespace(state=RunState())
    fault = watch(run, work, log, Context(world=world(), view=heard))

    assert isinstance(fault, Interrupted)
    assert "step 100" in fault.cause
    assert len(shown) == 102
    assert [event.type for event in kept] == ["checkpoint", "failed"]
