"""``launch`` with less patience, or killed at a line of its journal.

``python -m tests.system.altered '{"launcher.quote.run_cost.SLACK": 10, "kill": [3, "after"]}' train ...``: a
dotted name is a constant of a module or the default of a pydantic field; ``kill`` ends the process as
``kill -9`` does, before or after the journal's n-th line is written, counted from 1 in this process.
"""

import json
import os
import pydoc
import signal
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from launcher.cli import main
from launcher.runs.journal import Journal


def change(name: str, value: Any) -> None:
    """Sets a constant or a default that there is already.

    Raises:
        AttributeError: there is none of that name.
        KeyError: the model has no such field.
    """
    owner, _, attribute = name.rpartition(".")
    found = pydoc.locate(owner)
    if isinstance(found, type) and issubclass(found, BaseModel):
        found.model_fields[attribute].default = value
        found.model_rebuild(force=True)
    else:
        getattr(found, attribute)
        setattr(found, attribute, value)


def kill_at(line: int, when: str) -> None:
    real, count = Journal._append, 0

    def append(self: Journal, what: str, stage: Any, facts: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if count == line and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, what, stage, facts)
        if count == line:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal._append = append  # type: ignore[method-assign]


def apply(altered: Mapping[str, Any]) -> None:
    for name, value in altered.items():
        if name == "kill":
            kill_at(*value)
        else:
            change(name, value)


if __name__ == "__main__":
    apply(json.loads(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
