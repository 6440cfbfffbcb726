"""`launch fetch`: download a result, also from a stopped pod, and delete the pod."""

import argparse

from launcher.verbs.arguments import run_flags as add_flags
from launcher.verbs.story import story

__all__ = ["add_flags", "run"]


def run(options: argparse.Namespace) -> int:
    from launcher.request import Request

    return story(Request(resume=options.run, attach=True, start_stopped=True), as_json=options.json)
