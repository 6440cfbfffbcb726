"""The command ``launch``: parse, call, print, exit code. One function per verb."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.contract.errors import Interrupted, Usage, run_main

if TYPE_CHECKING:
    from launcher.train import Request


@dataclass(frozen=True)
class Verb:
    """``flags`` adds the arguments only when the verb is used: help of ``launch`` stays light.

    A verb without ``help`` is for our own use and not listed.
    """

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
        listed: dict[str, Any] = {"help": verb.help} if verb.help else {}
        sub = verbs.add_parser(name, **listed, description=verb.help, allow_abbrev=False)
        sub.set_defaults(call=verb.call)
        if name == chosen:
            verb.flags(sub)
    options = parser.parse_args(arguments)
    code: int = options.call(options)
    return code


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON lines")


def train_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings
    from launcher.machines import MACHINES
    from trainer.contract.job import add_flags

    parser.add_argument(
        "--on", choices=sorted(MACHINES), help="where to run (default: here; runpod with --gpu)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show quote, requests and commands; send nothing"
    )
    parser.add_argument("--run-id", metavar="ID", help="name the run (default: from the time)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", metavar="RUN", help="carry on with a run: its id or folder")
    how.add_argument("--overwrite", action="store_true", help="replace what the folder holds")
    _json_flag(parser)
    add_flags(parser)
    settings.add_flags(parser)


def train(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.train import Request, preview
    from launcher.world import World
    from trainer.contract.job import from_sources, given_flags

    flags, wanted = given_flags(options), settings.given(options)
    job = None
    if options.resume is None:
        job = from_sources(options.recipe, options.set, flags)
    elif options.recipe or options.set or flags or options.run_id or options.on:
        raise Usage(
            "a resumed run keeps its job, its id and its machine",
            "drop the other flags (settings such as --max-cost may change), or start a new run "
            "without --resume",
        )
    world = World()
    request = Request(
        job=job,
        resume=options.resume,
        run_id=options.run_id,
        where=options.on or ("runpod" if "gpu" in wanted else "here"),
        overwrite=options.overwrite,
        settings=settings.load(wanted, world=world),
        changes=wanted,
    )
    if options.dry_run:
        return _dry_run(request, preview, as_json=options.json)
    return _story(request, as_json=options.json)


def _dry_run(
    request: "Request",
    preview: "Callable[..., list[dict[str, Any]]]",
    *,
    as_json: bool,
) -> int:
    import json

    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=as_json) as view:
        sent = preview(request, world=world, view=view)
        lines = [json.dumps(item, indent=2, ensure_ascii=False) for item in sent]
        view.result({"state": "dry-run", "exit_code": 0, "would_send": sent}, lines)
    return 0


def _story(request: "Request", *, as_json: bool) -> int:
    """The story of ``train``, from wherever the run is, and its outcome."""
    from launcher.screen import open_view
    from launcher.train import train
    from launcher.view import clock, compared_lines
    from launcher.world import World

    world = World()
    begun = world.now()
    with open_view(world=world, as_json=as_json) as view:
        outcome = train(request, world=world, view=view)
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
        view.result(
            {
                "state": "finished",
                "exit_code": 0,
                "id": run.id,
                "folder": str(run.folder),
                "adapter": str(run.adapter),
                "metrics": outcome.manifest.metrics,
                "comparison": comparison,
            },
            lines,
        )
    return 0


def run_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="id, the beginning of one, or a run folder")
    _json_flag(parser)


def attach(options: argparse.Namespace) -> int:
    from launcher.train import Request

    return _story(Request(resume=options.run, attach=True), as_json=options.json)


def fetch(options: argparse.Namespace) -> int:
    from launcher.train import Request

    return _story(Request(resume=options.run, attach=True, wake=True), as_json=options.json)


def stop_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--now", action="store_true", help="save nothing; a pod is deleted")
    run_flags(parser)


def stop(options: argparse.Namespace) -> int:
    from launcher.screen import open_view
    from launcher.stop import stop
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        try:
            outcome = stop(options.run, at_once=options.now, world=world, view=view)
        except Interrupted as done:
            facts = {"state": "stopped", "exit_code": 0, "cause": done.cause}
            view.result(facts, [done.cause, f"  -> {done.hint}"])
            return 0
        view.result(
            {"state": "finished", "exit_code": 0, "adapter": str(outcome.run.adapter)},
            [f"it had just finished: {outcome.run.adapter}"],
        )
    return 0


def receipt(options: argparse.Namespace) -> int:
    from launcher.rental.verbs import ask_receipt
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        facts, lines = ask_receipt(options.run, world=world, view=view)
        view.result({"state": "receipt", "exit_code": 0, **facts}, lines)
    return 0


def reap_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pod", nargs="*", metavar="POD", help="pods to delete, by id or name")
    _json_flag(parser)


def reap(options: argparse.Namespace) -> int:
    from launcher.rental.verbs import reap
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        pods, lines = reap(options.pod, world=world, view=view)
        view.result({"state": "reaped", "exit_code": 0, "pods": pods}, lines)
    return 0


def doctor_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings

    parser.add_argument(
        "--add-registry", metavar="NAME", help="store a pull-only token, read from stdin, at RunPod"
    )
    parser.add_argument("--username", help="whose token it is, with --add-registry")
    parser.add_argument(
        "--add-volume", metavar="NAME", help="make a network volume at RunPod, of --mount GB"
    )
    parser.add_argument("--data-center", metavar="ID", help="where, with --add-volume")
    _json_flag(parser)
    settings.add_flags(parser)


def doctor(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.doctor import add_registry, add_volume, examine, lines
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    found = settings.Resolved.read(settings.given(options), world=world)
    with open_view(world=world, as_json=options.json) as view:
        if options.add_registry:
            view.say(f"storing {options.add_registry} at RunPod; the pull-only token, then Enter:")
            token = sys.stdin.readline().strip()
            add_registry(options.add_registry, options.username, token, world=world)
        if options.add_volume:
            size = found.settings.mount
            view.say(add_volume(options.add_volume, options.data_center, size, world=world))
        findings = examine(found, world=world)
        bad = sum(item.ok is False for item in findings)
        facts = {"findings": [item.facts() for item in findings], "sources": found.sources}
        state = "broken" if bad else "healthy"
        view.result({"state": state, "exit_code": int(bool(bad)), **facts}, lines(findings))
    return int(bool(bad))


def image_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings

    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be built and pushed, and do nothing"
    )
    settings.add_flags(parser, only=("cuda", "image_repo", "build_args"))
    _json_flag(parser)


def image(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.image import publish
    from launcher.machines.scene import Scene
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    wanted = settings.load(settings.given(options), world=world)
    with open_view(world=world, as_json=options.json) as view:
        scene = Scene(world, view, wanted)
        with world.interrupts(scene.interrupts):
            facts = publish(scene, dry_run=options.dry_run)
        view.result({"exit_code": 0, **facts}, [str(facts["image"])])
    return 0


def guard_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)


def guard(options: argparse.Namespace) -> int:
    from launcher.guard import watch
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world) as view:
        watch(options.folder, world=world, view=view)
    return 0


def plan_flags(parser: argparse.ArgumentParser) -> None:
    from launcher.planning import add_plan_flags

    add_plan_flags(parser)


def plan(options: argparse.Namespace) -> int:
    from launcher.planning import show_plan

    return show_plan(options)


def ps_flags(parser: argparse.ArgumentParser) -> None:
    _json_flag(parser)


def ps(options: argparse.Namespace) -> int:
    import json

    from launcher.runs import index
    from launcher.status import look, ps_lines
    from launcher.world import World

    world = World()
    found = [look(run, now=world.now()) for run in index(world=world)]
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
    from launcher.screen import open_view
    from launcher.world import World

    world = World()
    with open_view(world=world, as_json=options.json) as view:
        return run(out=options.out, seed=options.seed, world=world, view=view)


VERBS = {
    "train": Verb("train an adapter, and follow it", train_flags, train),
    "demo": Verb("the whole story on this machine, in a few minutes", demo_flags, demo),
    "plan": Verb("what a run would take on each card: fit, time, money", plan_flags, plan),
    "ps": Verb("list your runs", ps_flags, ps),
    "logs": Verb("show what a run said", logs_flags, logs),
    "attach": Verb("carry on with a run whose launcher ended", run_flags, attach),
    "fetch": Verb(
        "bring a result home, from a stopped pod too, and let the pod go", run_flags, fetch
    ),
    "stop": Verb("end a run now, keeping what it has trained", stop_flags, stop),
    "receipt": Verb("what a run has cost, beside what was quoted", run_flags, receipt),
    "reap": Verb("let go of pods that nobody looks after", reap_flags, reap),
    "image": Verb("build and push the image that pods run", image_flags, image),
    "doctor": Verb("what runs need here, and the remedy for what is missing", doctor_flags, doctor),
    "guard": Verb("", guard_flags, guard),
}
