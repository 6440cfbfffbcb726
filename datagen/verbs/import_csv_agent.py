"""Bring csv-agent's episodes over: run its teacher's code again and judge it here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.contract.command.errors import BadData, OutputExists

if TYPE_CHECKING:
    from datagen.episode import Episode
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "import",
        help="run the code of csv-agent's episodes again and judge it (both of its formats)",
    )
    verb.add_argument(
        "episodes", type=Path, metavar="EPISODES", help="csv-agent's .jsonl or .json file"
    )
    verb.add_argument(
        "--tables",
        type=Path,
        required=True,
        help="folder with the CSV files that the episodes name",
    )
    verb.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write episodes.jsonl to"
    )
    verb.add_argument(
        "--model",
        default="csv-agent",
        help="name of the teacher, for provenance (default: csv-agent)",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.dataset.import_csv_agent import read_csv_agent
    from datagen.dataset.run_again import plan_replay, replay
    from datagen.episode import write_episodes
    from datagen.progress import Progress

    target = args.out / "episodes.jsonl"
    if target.exists():
        raise OutputExists(f"{target} already exists", "choose another --out, or remove it")
    found = read_csv_agent(args.episodes)
    planned = plan_replay(found, args.tables, args.out, model=args.model)
    for reason, count in planned.left_out.items():
        print(f"{count} left out: {reason}")
    if not planned.tasks:
        raise BadData(
            f"{args.episodes}: no episode can be run again",
            "give the folder with its CSV files: --tables FOLDER",
        )
    journal = args.out / "episodes.journal.jsonl"
    verdicts: list[bool] = []

    def kept(episode: Episode) -> None:
        verdicts.append(episode.verdict.verified)
        progress.advance(f"{sum(verdicts)} right")

    with Progress("running again", len(planned.tasks)) as progress:
        done = replay(planned, journal, kept=kept)
    write_episodes(target, done)
    journal.unlink()
    here, there = sum(e.verdict.verified for e in done), sum(e.verified_by_csv_agent for e in found)
    print(
        f"{here} of {len(done)} episodes verified (by csv-agent {there} of {len(found)}): {target}"
    )
    return 0
