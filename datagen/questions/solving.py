"""Runs solutions in the sandbox, several at a time, each with variables of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from datagen.judge.compare import judge

if TYPE_CHECKING:
    from datagen.episode import Question
    from datagen.sandbox import CellResult, Sandbox, Session
    from datagen.tables.table import TableProfile

AT_ONCE = 4


class Solutions:
    """Whether code submits the truth, over one set of tables; the sandbox starts with the first question.

    A process runs one solution after the other. One that does not submit the truth there is run once
    more in a fresh process, so that what others left behind decides nothing.
    """

    def __init__(self, tables: Sequence[TableProfile]) -> None:
        self._tables = {p.name: (p.path, p.reading) for p in tables}
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._opened = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._sandbox: Sandbox | None = None
        self._idle: queue.SimpleQueue[Session] = queue.SimpleQueue()

    def submit(self, question: Question) -> Future[CellResult]:
        """Run the question's code. The result raises what opening a Sandbox raises."""
        return self._pool.submit(self._run, question)

    def _run(self, question: Question) -> CellResult:
        sandbox, code = self._started(), question.code or ""
        if "scipy" not in code:  # such a process starts with scipy loaded
            try:
                session = self._idle.get_nowait()
            except queue.Empty:
                session = self._opened.enter_context(sandbox.episode())
            result = session.run(f"exec({code!r}, {{**globals()}})")
            if agrees(question, result):
                self._idle.put(session)
                return result
            session.close()
        return run_code(sandbox, question)

    def _started(self) -> Sandbox:
        from datagen.sandbox import Sandbox

        with self._lock:
            if self._sandbox is None:
                self._sandbox = self._opened.enter_context(Sandbox(self._tables))
            return self._sandbox

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._opened.close()


def agrees(question: Question, result: CellResult) -> bool:
    return result.submitted and judge(result.answer, question.truth, *question.form).correct


def run_code(sandbox: Sandbox, question: Question) -> CellResult:
    """What the question's code does in a process of its own."""
    with sandbox.episode() as session:
        return session.run(question.code or "")
