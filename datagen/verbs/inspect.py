"""Show one episode readably: the question, every message, code, output and the verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser("inspect", help="show one episode: messages, code, output, verdict")
    verb.add_argument("episodes", type=Path, metavar="EPISODES")
    verb.add_argument("id", metavar="ID", help="an episode's or question's id, or its beginning")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes
    from datagen.transcript import find, show

    episode = find(read_episodes(args.episodes), args.id)
    if args.json:
        print(episode.model_dump_json(indent=2))
    else:
        show(episode)
    return 0
