"""Base against adapter on held-out episodes."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.verbs.arguments import whole_count
from datagen.verbs.watch import watched
from trainer.contract.errors import OutputExists

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser("evaluate", help="base against adapter on held-out episodes")
    verb.add_argument("--model", type=Path, required=True, help="run folder, or adapter folder")
    verb.add_argument("--episodes", type=Path, required=True, help="held-out episodes")
    verb.add_argument("--out", type=Path, help="folder for comparison.json (the run folder)")
    verb.add_argument(
        "--limit", type=whole_count, metavar="N", help="ask only N, drawn by the seed"
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--overwrite", action="store_true", help="ask again what was asked before")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.comparison_text import text
    from datagen.episode import read_episodes
    from datagen.evaluate import evaluate as ask_both
    from datagen.evaluate import sample, tasks_of
    from datagen.local_model import Engine, adapter_folder
    from datagen.results import FOLDER

    tasks = tasks_of(read_episodes(args.episodes), args.episodes.parent)
    if args.limit is not None:
        tasks = sample(tasks, args.limit, seed=args.seed)
    folder = adapter_folder(args.model)
    output = args.out or (folder.parent if folder.name == "adapter" else folder)
    if args.overwrite:
        shutil.rmtree(output / FOLDER, ignore_errors=True)
    elif (output / "comparison.json").exists():
        raise OutputExists(
            f"{output / 'comparison.json'} is already there", "use --overwrite, or another --out"
        )
    engine = Engine(folder)
    found = ask_both(
        tasks,
        base=engine.base,
        adapter=engine.adapter,
        output=output,
        seed=args.seed,
        watch=watched,
    )
    print(json.dumps(found) if args.json else "\n".join(text(found)))
    if not args.json:
        print(f"written: {output / 'comparison.json'}, {output / FOLDER / 'questions.jsonl'}")
    return 0
