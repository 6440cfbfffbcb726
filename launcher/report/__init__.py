"""What a run was, what came of it, and what it cost: report.html for people, report.json for programs."""

from pathlib import Path

from launcher.report.facts import collect
from launcher.report.figures import Report, figures
from launcher.report.render import render
from launcher.runs.run_folder import Run
from trainer.contract.command.crash_safe_files import write_whole

NAME = "report.html"
FIGURES = "report.json"


def write(run: Run) -> Path:
    """Write both reports from what lies in the run folder, each whole or not at all; return the page.

    Raises ``NotFound`` for a folder without a run, ``BadData`` for damaged events.
    """
    facts = collect(run)
    write_whole(run.folder / FIGURES, figures(facts).model_dump_json(indent=2) + "\n")
    return write_whole(run.folder / NAME, render(facts))


def read(run: Run) -> Report:
    """The figures as they were written last."""
    return Report.model_validate_json((run.folder / FIGURES).read_bytes())
