"""`launch ps`: list your runs."""

import argparse

from launcher.verbs.arguments import json_flag


def add_flags(parser: argparse.ArgumentParser) -> None:
    json_flag(parser)


def run(options: argparse.Namespace) -> int:
    import json

    from launcher.runs.run_folder import index
    from launcher.runs.status import ps_lines, seen
    from launcher.world import World

    world = World()
    found = [seen(run, now=world.now()) for run in index(world=world)]
    if options.json:
        for status in found:
            print(json.dumps({"type": "run", **status.facts()}, ensure_ascii=False))
    else:
        print("\n".join(ps_lines(found)))
    return 0
