"""The command ``launch``: parse, call, print, exit code. One function per verb."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.errors import Usage, run_main


@dataclass(frozen=True)
class Verb:
    """``flags`` adds the arguments only when the verb is used: help of ``launch`` stays light."""

    help: str
    flags: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; every failure becomes a message and an exit code."""
    return run_main(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="launch",
        description="Train a LoRA adapter of your own, and see what it is worth.",
        epilog="launch VERB --help tells more. Exit codes are listed in the README.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, verb in VERBS.items():
        sub = verbs.add_parser(name, help=verb.help, description=verb.help, allow_abbrev=False)
        sub.set_defaults(call=verb.call)
        if name == chosen:
            verb.flags(sub)
    options = parser.parse_args(arguments)
    code: int = options.call(options)
    return code


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def train_flags(parser: argparse.ArgumentParser) -> None:
    from launcher.machines import MACHINES
    from trainer.contract.job import add_flags

    parser.add_argument(
        "--on", choices=sorted(MACHINES), default="here", help="where to run (default: here)"
    )
    parser.add_argument("--run-id", metavar="ID", help="name the run (default: from the time)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", metavar="RUN", help="carry on with a run: its id or folder")
    how.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    _json_flag(parser)
    add_flags(parser)


def train(options: argparse.Namespace) -> int:
    from launcher.train import Request, train
    from launcher.view import clock, open_view
    from launcher.world import World
    from trainer.contract.job import from_sources, given_flags

    flags = given_flags(options)
    job = None
    if options.resume is None:
        job = from_sources(options.recipe, options.set, flags)
    elif options.recipe or options.set or flags or options.run_id:
        raise Usage(
            "a resumed run keeps its job and its id",
            "drop the other flags, or start a new run without --resume",
        )
    request = Request(
        job=job,
        resume=options.resume,
        run_id=options.run_id,
        where=options.on,
        overwrite=options.overwrite,
    )
    world = World()
    begun = world.now()
    with open_view(world=world, as_json=options.json) as view:
        outcome = train(request, world=world, view=view)
        run, steps = outcome.run, outcome.steps
        lines = [f"adapter  {run.adapter}"]
        if steps:
            lines.append(
                f"loss     {steps[0].loss:.4f} -> {steps[-1].loss:.4f}, {len(steps)} steps"
            )
            lines.append(f"time     {clock(world.now() - begun)}")
        view.result(
            {
                "state": "finished",
                "exit_code": 0,
                "id": run.id,
                "folder": str(run.folder),
                "adapter": str(run.adapter),
                "metrics": outcome.manifest.metrics,
            },
            lines,
        )
    return 0


def ps_flags(parser: argparse.ArgumentParser) -> None:
    _json_flag(parser)


def ps(options: argparse.Namespace) -> int:
    import json

    from launcher.runs import index
    from launcher.status import look, ps_lines
    from launcher.world import World

    found = [look(run) for run in index(world=World())]
    if options.json:
        for status in found:
            print(json.dumps(status.facts(), ensure_ascii=False))
    else:
        print("\n".join(ps_lines(found)))
    return 0


def logs_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, the beginning of one, or a run folder")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    _json_flag(parser)


def logs(options: argparse.Namespace) -> int:
    from launcher.logs import lines
    from launcher.runs import find
    from launcher.world import World

    world = World()
    run = find(options.run, world=world)
    for text in lines(run, follow=options.follow, as_json=options.json, world=world):
        print(text, flush=options.follow)
    return 0


def demo_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/<id>)")
    _json_flag(parser)


def demo(options: argparse.Namespace) -> int:
    from launcher.demo import run
    from launcher.view import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        return run(out=options.out, seed=options.seed, world=world, view=view)


VERBS = {
    "train": Verb("train an adapter, and follow it", train_flags, train),
    "demo": Verb("the whole story on this machine, in a few minutes", demo_flags, demo),
    "ps": Verb("list your runs", ps_flags, ps),
    "logs": Verb("show what a run said", logs_flags, logs),
}
