"""`launch doctor`: check what runs need here, and show how to fix what is missing."""

import argparse
import sys

from launcher.verbs.arguments import json_flag

EXAMPLES = (
    "launch doctor",
    "launch doctor --gpu A10G --image-repo ghcr.io/me/sft-launch",
    "launch doctor --add-volume weights --mount 100 --data-center EU-RO-1",
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
    json_flag(parser)
    settings.add_flags(parser)


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
        findings = examine(found, world=world)
        bad = sum(item.ok is False for item in findings)
        facts = {"findings": [item.facts() for item in findings], "sources": found.sources}
        state = "broken" if bad else "healthy"
        view.result({"state": state, "exit_code": int(bool(bad)), **facts}, lines(findings))
    return int(bool(bad))
