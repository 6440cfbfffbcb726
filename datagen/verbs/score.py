"""Judge saved episodes again, with no model call, and say what changed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.contract.command.errors import OutputExists

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs

SHOWN = 20


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "score", help="judge saved episodes again and show what changed; calls no model"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES", help="episode file (.jsonl)")
    verb.add_argument(
        "--out", type=Path, metavar="FILE", help="write the episodes with the new verdicts"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import EpisodeFile, write_episodes
    from datagen.judge.judge_again import RejudgedCounts, judge_all_again, with_moved_tables

    if args.out is not None and args.out.exists():
        raise OutputExists(f"{args.out} already exists", "choose another --out, or remove it")
    tally = RejudgedCounts()
    judged = judge_all_again(EpisodeFile(args.episodes), tally)
    if args.out is None:
        for _ in judged:
            pass
    else:
        folders = (args.episodes.parent.resolve(), args.out.parent.resolve())
        write_episodes(args.out, (with_moved_tables(episode, *folders) for episode in judged))
    if args.json:
        print(json.dumps(tally.counts()))
        return 0
    for line in tally.changes[:SHOWN]:
        print(line)
    if len(tally.changes) > SHOWN:
        print(f"... and {len(tally.changes) - SHOWN} more")
    if tally.rejected:
        reasons = ", ".join(f"{name} {count}" for name, count in tally.rejected.most_common())
        print(f"rejected: {reasons}")
    if tally.left:
        print(
            f"unchanged: {tally.left} episodes have neither a known answer nor an attempt with the hint"
        )
    print(
        f"{tally.now} of {tally.episodes} episodes verified, {tally.before} before; "
        f"{len(tally.changes)} verdicts and {tally.attempts_changed} attempts changed"
    )
    return 0
