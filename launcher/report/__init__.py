"""report.html: what a run was, what came of it, and what it cost; one file that works offline."""

from pathlib import Path

from launcher.report.facts import collect
from launcher.report.render import render
from launcher.runs import Run

NAME = "report.html"


def write(run: Run) -> Path:
    """Write the report from what lies in the run folder, whole or not at all.

    Raises ``NotFound`` for a folder without a run, ``BadData`` for damaged events.
    """
    path = run.folder / NAME
    part = path.with_name(f".{NAME}.part")
    part.write_text(render(collect(run)), "utf-8")
    return part.replace(path)
