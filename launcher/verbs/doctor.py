"""`launch doctor`: check what training, data and renting need here, and show how to get it."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.verbs.arguments import json_flag

if TYPE_CHECKING:
    from launcher.settings import FoundSettings
    from launcher.view.protocol import View
    from launcher.world import World

EXAMPLES = (
    "launch doctor --gpu A10G --image-repo ghcr.io/me/sft-launch",
    "launch doctor --live --gpu A10G --max-cost 0.50",
    "launch doctor --add-volume weights --mount 100 --data-center EU-RO-1",
)
FIRST = ("--gpu", "--image-repo", "--live", "--max-cost", "--json")
# The settings that a check or a live run uses; the live check sets the others itself.
SETTINGS = (
    *("gpu", "max_cost", "max_hours", "grace", "disk", "mount"),
    *("image", "image_repo", "build_args", "registry", "cuda"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings

    parser.add_argument(
        "--add-registry",
        metavar="NAME",
        help="store a pull-only registry token, read from stdin, at RunPod",
    )
    parser.add_argument("--username", help="user of the token, for --add-registry")
    parser.add_argument(
        "--add-volume",
        metavar="NAME",
        help="create a network volume of --mount GB at RunPod, billed until you delete it",
    )
    parser.add_argument("--data-center", metavar="ID", help="data center for --add-volume")
    parser.add_argument(
        "--live",
        action="store_true",
        help="rent the card of --gpu for a few short runs, within --max-cost in all, and write a "
        "certificate of what held in ./live-check",
    )
    json_flag(parser)
    settings.add_flags(parser, only=SETTINGS)


def _live(found: "FoundSettings", *, world: "World", view: "View") -> int:
    from launcher.live_check.certificate import JSON, PAGE
    from launcher.live_check.check import run
    from launcher.runs.run_folder import new_id

    folder = Path("live-check") / new_id(world)
    view.say(f"live check: at most ${found.settings.max_cost:.2f} in all")
    made = run(found, folder=folder, world=world, view=view)
    code = int(made.state == "broken")
    written = {"certificate": str(folder / JSON), "page": str(folder / PAGE)}
    facts = {
        "state": made.state,
        "exit_code": code,
        **written,
        "checks": made.model_dump()["checks"],
    }
    view.result(facts, [*made.lines(), *(f"{name:12} {path}" for name, path in written.items())])
    return code


def run(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.doctor import add_registry, add_volume, examine, lines
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    found = settings.FoundSettings.read(settings.given(options), world=world)
    with open_view(world=world, as_json=options.json) as view:
        if options.add_registry:
            view.say(
                f"storing {options.add_registry} at RunPod: type the pull-only token, then Enter"
            )
            token = sys.stdin.readline().strip()
            add_registry(options.add_registry, options.username, token, world=world)
        if options.add_volume:
            size = found.settings.mount
            view.say(add_volume(options.add_volume, options.data_center, size, world=world))
        if options.live:
            return _live(found, world=world, view=view)
        findings = examine(found, world=world)
        bad = sum(item.ok is False for item in findings)
        facts = {"findings": [item.facts() for item in findings], "sources": found.sources}
        state = "broken" if bad else "healthy"
        view.result({"state": state, "exit_code": int(bool(bad)), **facts}, lines(findings))
    return int(bool(bad))
