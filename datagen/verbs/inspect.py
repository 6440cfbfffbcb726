"""Show one episode readably: question, messages, code, output, verdict; or list all of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "inspect", help="list episodes, or show one: messages, code, output, verdict"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES", help="episode file (.jsonl)")
    verb.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        help="id of an episode or question, or the start of an id; without it, all episodes are listed",
    )
    verb.add_argument(
        "--json", action="store_true", help="print JSON; a list has one line per episode"
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.episode_text import episode_line, find_episode, show_episode
    from datagen.episode import EpisodeFile

    episodes = EpisodeFile(args.episodes)
    if args.id is None:
        for each in episodes:
            print(each.model_dump_json() if args.json else episode_line(each))
        return 0
    episode = find_episode(episodes, args.id)
    if args.json:
        print(episode.model_dump_json(indent=2))
    else:
        show_episode(episode)
    return 0
