"""Run ``train`` and print its outcome."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from launcher.request import Request
    from launcher.runs.run_folder import Run


def story(request: "Request", *, as_json: bool) -> int:
    """Run or continue a run, and print its outcome; return the exit code."""
    from launcher.follow import Detached
    from launcher.train import train
    from launcher.view.amount_text import compared_lines
    from launcher.view.choose_view import open_view
    from launcher.world import World
    from trainer.contract.event_text import clock

    world = World()
    begun = world.now()
    with open_view(world=world, as_json=as_json) as view:
        try:
            outcome = train(request, world=world, view=view)
        except Detached as left:
            facts = {"state": "left", "exit_code": left.exit_code, "cause": left.cause}
            view.result(facts, [left.cause, f"  -> {left.hint}"])
            return left.exit_code
        run, steps = outcome.run, outcome.steps
        lines = [f"adapter  {run.adapter}"]
        if steps:
            lines.append(
                f"loss     {steps[0].loss:.4f} -> {steps[-1].loss:.4f}, {len(steps)} steps"
            )
            lines.append(f"time     {clock(world.now() - begun)}")
        comparison = outcome.comparison
        if comparison is not None:
            lines += compared_lines(comparison)
        page = _report(run)
        lines.append(f"report   {page or 'could not be written; try: launch report ' + run.id}")
        view.result(
            {
                "state": "finished",
                "exit_code": 0,
                "id": run.id,
                "folder": str(run.folder),
                "adapter": str(run.adapter),
                "metrics": outcome.manifest.metrics,
                "comparison": comparison,
                "report": page and str(page),
            },
            lines,
        )
    return 0


def _report(run: "Run") -> "Path | None":
    """The run's page; None when it cannot be written, which takes nothing from the result."""
    from launcher.report import write
    from trainer.contract.command.errors import Fault

    try:
        return write(run)
    except (OSError, Fault):
        return None
