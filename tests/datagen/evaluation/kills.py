"""An evaluation that is killed at every write of its journals: `python -m tests.datagen.evaluation.kills FOLDER`.

A process of its own, because it forks: for each write, each of right before, in the midst of and right
after it, one child dies there and another one takes up what is on disk. Cells are not run but looked up.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from datagen.episodes import run_questions
from datagen.episodes.attempts import Task
from datagen.episodes.journal import Journal
from datagen.episodes.run_questions import table_ref
from datagen.evaluation.evaluate import EvaluatedModel, evaluate
from datagen.prompts.render import as_reply
from datagen.questions.basic import ask
from datagen.sandbox.messages import CellResult
from datagen.sandbox.server_pool import ServerPool
from datagen.tables.table import profile_table
from tests.datagen.conftest import SHOP

QUESTIONS = 2
WHEN = ("before", "amid", "after")


class AnswerProgress:
    def __call__(self, episode: object) -> None:
        pass

    found = __call__


class Model:
    """Right about every question, or none; notes whom it was asked about."""

    def __init__(self, name: str, tasks: list[Task], asked: Path, *, knows: bool) -> None:
        self.name = name
        self.asked = asked
        self.truths = {task.question.text: task.question.truth if knows else None for task in tasks}

    async def reply(self, messages: Any, *, session: str) -> Any:
        from datagen.models.protocol import Reply

        with self.asked.open("a") as file:
            file.write(f"{session}\n")
        truth = next(t for text, t in self.truths.items() if messages[1].content.endswith(text))
        return Reply(text=as_reply(f"submit({truth!r})"))


def cells() -> Any:
    """A sandbox's stand-in: the answer is what the code submits."""

    def run(code: str) -> CellResult:
        return CellResult(ok=True, submitted=True, answer=eval(code[len("submit(") : -1]))

    return SimpleNamespace(
        level="none", close=lambda: None, episode=lambda: nullcontext(SimpleNamespace(run=run))
    )


@contextmanager
def unwatched(_label: str, _total: int) -> Iterator[AnswerProgress]:
    yield AnswerProgress()


def dies_at(number: int, when: str) -> None:
    """Let this process be killed at its `number`-th write to a journal."""
    append = Journal.append
    count = 0

    def appending(self: Journal, episodes: Any) -> None:
        nonlocal count
        if count != number:
            count += 1
            append(self, episodes)
            return
        if when == "amid":
            line = episodes[0].model_dump_json().encode()
            with self.path.open("ab") as file:
                file.write(line[: len(line) // 2])
        if when == "after":
            append(self, episodes)
        os.kill(os.getpid(), signal.SIGKILL)

    Journal.append = appending  # type: ignore[method-assign]


def child(tasks: list[Task], output: Path, kill: tuple[int, str] | None) -> int:
    """Evaluate in a child; the signal that ended it, 0 without one."""
    pid = os.fork()
    if pid == 0:
        tables = ServerPool(starter=lambda _task: cells())
        setattr(run_questions, "ServerPool", lambda: tables)  # noqa: B010 - its name there is not exported
        if kill is not None:
            dies_at(*kill)
        models = [
            EvaluatedModel(label="base", concurrency=1, model=Model("b", tasks, output / "asked", knows=False)),
            EvaluatedModel(label="adapter", concurrency=1, model=Model("a", tasks, output / "asked", knows=True)),
        ]  # fmt: skip
        output.mkdir(exist_ok=True)
        try:
            evaluate(tasks, models, output=output, watch=unwatched)
        except Exception:  # noqa: BLE001 - no child may come back from here
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def outcome(output: Path) -> Any:
    """What must not hang on how often it was killed: all but the time it took."""
    found = json.loads((output / "comparison.json").read_text())
    for row in found["effort"].values():
        del row["seconds"]
    return found, (output / "evaluation" / "questions.jsonl").read_text()


def main(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(SHOP, "utf-8")
    profile = profile_table(table)
    ref = table_ref(profile, folder)
    asked = ask(profile, count=QUESTIONS, seed=0)
    tasks = [Task(question=question, tables=[ref], paths=[table]) for question in asked]
    assert child(tasks, folder / "whole", None) == 0
    whole = outcome(folder / "whole")
    kills = 0
    for number in range(2 * QUESTIONS):
        for when in WHEN:
            output = folder / f"{number}-{when}"
            assert child(tasks, output, (number, when)) == signal.SIGKILL
            kept = number + (when == "after")
            before = (output / "asked").read_text().splitlines()
            assert child(tasks, output, None) == 0
            again = (output / "asked").read_text().splitlines()[len(before) :]
            assert outcome(output) == whole, (number, when)
            assert len(again) == 2 * QUESTIONS - kept, (number, when)
            assert not {*again} & {*before[:kept]}, (number, when)
            kills += 1
    print(f"{kills} kills")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
