"""`launch image`: build and push the image that pods run."""

import argparse

from launcher.verbs.arguments import json_flag


def add_flags(parser: argparse.ArgumentParser) -> None:
    from launcher import settings

    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be built and pushed; change nothing"
    )
    settings.add_flags(parser, only=("cuda", "image_repo", "build_args"))
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    from launcher import settings
    from launcher.context import Context
    from launcher.image.build import publish
    from launcher.view.choose_view import open_view
    from launcher.world import World

    world = World()
    wanted = settings.load(settings.given(options), world=world)
    with open_view(world=world, as_json=options.json) as view:
        context = Context(world, view, wanted)
        with world.interrupts(context.interrupts):
            facts = publish(context, dry_run=options.dry_run)
        view.result({"exit_code": 0, **facts}, [str(facts["image"])])
    return 0
