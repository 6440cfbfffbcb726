"""`launch check`: show what a job would train on, checked by the trainer with the model's tokenizer."""

import argparse
import tempfile
from pathlib import Path

EXAMPLES = (
    "launch check --data chats.jsonl",
    "launch check --recipe tiny --data rows.jsonl",
    "launch check --data chats.jsonl --set turns=split --html check.html",
)
FIRST = ("--data", "--model", "--recipe", "--set", "--html")


def add_flags(parser: argparse.ArgumentParser) -> None:
    from trainer.contract.job import add_flags

    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the result as an HTML page"
    )
    parser.add_argument(
        "--all", action="store_true", help="print every fault, not one line a cause"
    )
    add_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.world import World
    from trainer.contract.job import from_sources, given_flags

    job = from_sources(options.recipe, options.set, given_flags(options))
    world = World()
    page = ["--html", str(options.html)] if options.html else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(job.to_json(), encoding="utf-8")
        more = [f"--{name}" for name in ("json", "all") if getattr(options, name)]
        return world.run_in_foreground(world.python("trainer", "check", str(path), *page, *more))
