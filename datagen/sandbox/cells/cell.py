"""Runs the cells of one episode inside the child: one namespace, captured output, typed answer."""

import random
import sys
import types
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

import numpy as np
import pandas as pd

from datagen.sandbox.cells.error_text import CELL_NAME, error_text, shorten
from datagen.sandbox.cells.output import CappedText
from datagen.sandbox.cells.submitted_value import to_answer, to_hook_value
from datagen.sandbox.messages import MAX_HOOKS


class Cells:
    """The state of one episode: variables live on from cell to cell."""

    def __init__(self, tables: dict[str, pd.DataFrame], *, output_chars: int) -> None:
        self._output_chars = output_chars
        self._hooks: list[dict[str, Any]] = []
        self._answer: dict[str, Any] = {"submitted": False, "answer": None}
        # A separate module: what a cell defines must find its globals, as in a script.
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self._namespace = vars(module)
        self._namespace.update(
            df=next(iter(tables.values())),
            tables=tables,
            pd=pd,
            np=np,
            submit=self._submit,
            hook=self._hook,
        )
        warnings.simplefilter("default")
        warnings.showwarning = _show_warning

    def seed(self, seed: int) -> None:
        """Seed the generators that cells reach for."""
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - as above

    def run(self, code: str) -> dict[str, Any]:
        """Run one cell; the message for the client. No exception of the cell escapes."""
        self._hooks = []
        self._answer = {"submitted": False, "answer": None}
        stdout, stderr = CappedText(self._output_chars), CappedText(self._output_chars)
        sys.stdout, sys.stderr = stdout, stderr
        failure = ""
        try:
            exec(compile(code, CELL_NAME, "exec", dont_inherit=True), self._namespace)  # noqa: S102
        except BaseException as error:  # noqa: BLE001 - SystemExit too: a cell cannot end its episode
            failure = error_text(error)
        return {
            "ok": not failure,
            "stdout": stdout.value(),
            "stderr": stderr.value() + failure,
            "hooks": self._hooks,
            **self._answer,
        }

    def _submit(self, value: object) -> None:
        """Submit the answer. The last call of a cell counts."""
        self._answer = {"submitted": True, "answer": to_answer(value)}

    def _hook(self, value: object, name: str, depends_on: str | Iterable[str] = ()) -> None:
        """Report an intermediate value under a name, and the names of the hooks it was made from."""
        if len(self._hooks) >= MAX_HOOKS:
            raise ValueError(f"hook() takes at most {MAX_HOOKS} values a cell")
        names = [depends_on] if isinstance(depends_on, str) else [str(item) for item in depends_on]
        entry = {"name": str(name), "value": to_hook_value(value), "depends_on": names}
        self._hooks.append(entry)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning as one line without the file and line it came from."""
    del filename, lineno, line
    (file or sys.stderr).write(shorten(f"{category.__name__}: {message}") + "\n")
