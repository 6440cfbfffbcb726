"""`launch check`: show what a job would train on, checked by the trainer with the model's tokenizer."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.contract.rows import Rows

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
    from launcher.runs.new_run import read_inputs
    from launcher.world import World
    from trainer.contract.command.errors import ModelUnavailable, NotFound, joined
    from trainer.contract.job import from_sources, given_flags

    job = from_sources(options.recipe, options.set, given_flags(options))
    data, faults = read_inputs(job)
    if any(isinstance(fault, NotFound) for fault in faults):
        raise joined(faults)
    world = World()
    page = ["--html", str(options.html)] if options.html else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.json"
        path.write_text(job.to_json(), encoding="utf-8")
        more = [f"--{name}" for name in ("json", "all") if getattr(options, name)]
        code = world.run_in_foreground(world.python("trainer", "check", str(path), *page, *more))
    if code == ModelUnavailable.exit_code and data is not None and not options.json:
        print("\n".join(_without_tokenizer(data)))
    return code


def _without_tokenizer(data: "Rows") -> list[str]:
    """What holds of the rows for any model, as text."""
    from launcher.quote.row_lengths import ROUGH, lengths
    from launcher.view.columns import wrapped

    found = lengths(data.rows, None)
    total, longest = sum(found.each), max(found.each, default=0)
    shown = [
        f"checked without the model: {len(data.rows):,} rows can be read",
        f"about {total:,} tokens, {round(found.scored):,} of them trained, longest row about {longest:,}",
        *data.notes,
        f"tokens {ROUGH}",
        "not checked: which tokens this model's chat template trains",
    ]
    return [part for text in shown for part in wrapped(text)]
