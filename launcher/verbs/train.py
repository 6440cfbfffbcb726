"""`launch train`: train an adapter and show its progress."""

import argparse
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.verbs.arguments import json_flag
from launcher.verbs.story import story
from trainer.contract.command.errors import Usage

if TYPE_CHECKING:
    from launcher.request import Request

EXAMPLES = (
    "launch train --recipe tiny --data rows.jsonl --output runs/first",
    "launch train --gpu A10G --max-cost 1 --data chats.jsonl --dry-run",
    "launch train --resume RUN",
)
DRY_RUN = Path("dry-run.json")
FIRST = ("--data", "--model", "--gpu", "--max-cost", "--dry-run")
RENTED = (
    *("gpu", "max_cost", "max_hours", "grace", "on_deadline", "on_interrupt", "unguarded"),
    *("image_repo", "registry", "volume", "disk", "mount"),
)
# Settings that have no effect on a machine.
UNUSED = {"here": (*RENTED, "image", "build_args", "cuda"), "docker": RENTED, "runpod": ()}


def add_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings
    from launcher.machines import MACHINES
    from trainer.contract.job import add_flags

    parser.add_argument(
        "--on", choices=sorted(MACHINES), help="where to run (default: here; runpod with --gpu)"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the quote and what a run still needs; write the requests to dry-run.json; send nothing",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="with --dry-run: show the requests too"
    )
    parser.add_argument(
        "--emit",
        nargs="+",
        metavar=("skypilot", "FILE"),
        help="write a SkyPilot task file and do not run (default file: skypilot.yaml)",
    )
    parser.add_argument(
        "--nodes",
        type=int,
        metavar="N",
        help="number of machines for --emit skypilot, which start torchrun (default: 1)",
    )
    parser.add_argument(
        "--run-id", metavar="ID", help="id of the run (default: date, time and four random digits)"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        help="continue a run, by id or folder; with --overwrite, start it again from step 1",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the results in the run folder"
    )
    json_flag(parser)
    add_flags(parser)
    settings.add_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.request import Request, started_again
    from launcher.world import World
    from trainer.contract import resuming
    from trainer.contract.job import from_sources, given_flags

    flags, wanted = given_flags(options), settings.given(options)
    job = None
    if options.resume is None:
        job = from_sources(options.recipe, options.set, flags)
    elif options.recipe or options.run_id or options.on:
        raise Usage(
            "a resumed run keeps its recipe, its id and its machine",
            "drop these flags (settings such as --max-cost may change), or start a new run "
            "without --resume",
        )
    elif not options.overwrite:
        again = f"launch train --resume {shlex.quote(options.resume)} --overwrite"
        resuming.check(options.set, flags, again=again)
    where = options.on or ("runpod" if "gpu" in wanted else "here")
    if options.resume is None and options.emit is None:
        _refuse_unused(where, wanted)
    world = World()
    request = Request(
        job=job,
        resume=options.resume,
        run_id=options.run_id,
        where=where,
        overwrite=options.overwrite,
        settings=settings.load(wanted, world=world),
        changes=wanted,
        job_sets=options.set if options.resume else (),
        job_changes=flags if options.resume else {},
    )
    if options.resume and options.overwrite:
        request = started_again(request, world=world)
    if options.emit is not None:
        return _emit(request, options)
    if options.nodes is not None:
        raise Usage(
            "--nodes needs --emit skypilot", "for several cards in one pod use: --gpu A100:4"
        )
    if options.dry_run:
        return _dry_run(request, options)
    return story(request, as_json=options.json)


def _refuse_unused(where: str, given: Collection[str]) -> None:
    """Raise ``Usage`` for flags that have no effect on the machine."""
    flags = [f"--{name.replace('_', '-')}" for name in UNUSED[where] if name in given]
    if flags:
        named = ", ".join(flags)
        raise Usage(
            f"--on {where} trains on this machine: {named} would have no effect",
            f"to rent a card, use --on runpod; to train on this machine, drop {named}",
        )


def _emit(request: "Request", options: argparse.Namespace) -> int:
    from launcher import skypilot
    from launcher.view.choose_view import open_view
    from launcher.world import World

    form, *rest = options.emit
    nodes = 1 if options.nodes is None else options.nodes
    if form != "skypilot" or len(rest) > 1:
        raise Usage(
            f"cannot read --emit {' '.join(options.emit)}", "write it as --emit skypilot [FILE]"
        )
    if nodes < 1 or request.job is None:
        raise Usage("--emit needs a new run and at least one machine", "see launch train --help")
    world, file = World(), Path(rest[0] if rest else "skypilot.yaml")
    with open_view(world=world, as_json=options.json) as view:
        run, made = skypilot.write(request, file=file, nodes=nodes, world=world, view=view)
        facts = {"state": "written", "exit_code": 0, "id": run.id, "file": str(file)}
        view.result({**facts, "commands": made.commands}, [f"written  {file}", *made.commands])
    return 0


def _dry_run(request: "Request", options: argparse.Namespace) -> int:
    import json

    from launcher.train import preview
    from launcher.view.choose_view import open_view
    from launcher.world import World
    from trainer.contract.command.crash_safe_files import write_whole

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        sent, missing = preview(request, world=world, view=view)
        lines = []
        written = json.dumps(sent, indent=2, ensure_ascii=False)
        if sent and not options.json:
            write_whole(DRY_RUN, f"{written}\n")
            lines.append(f"requests {DRY_RUN}" + " (--verbose shows them)" * (not options.verbose))
        if missing:
            lines.append("a run still needs:")
        for number, fault in enumerate(missing, 1):
            lines.append(f"  {number}. {fault.cause}")
            lines += [f"     -> {fault.hint}"] * bool(fault.hint)
        needs = [{"cause": fault.cause, "hint": fault.hint} for fault in missing]
        view.result(
            {"state": "dry-run", "exit_code": 0, "would_send": sent, "needs": needs},
            [*[written] * (options.verbose and bool(sent)), *lines],
        )
    return 0
