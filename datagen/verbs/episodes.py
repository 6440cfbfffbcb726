"""Ask questions about CSV files and keep the verified answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.verbs.arguments import whole_count
from datagen.verbs.watch import watched
from trainer.contract.errors import OutputExists

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "episodes", help="ask questions about CSV files and keep the verified answers"
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV")
    verb.add_argument("--out", type=Path, required=True, help="folder to write episodes.jsonl to")
    verb.add_argument(
        "--per-table",
        type=whole_count,
        default=40,
        metavar="N",
        help="questions for each table (40)",
    )
    verb.add_argument("--teacher", choices=["scripted"], default="scripted")
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import write_episodes
    from datagen.generate import Task, attempt_all, table_ref
    from datagen.questions.basic import ask
    from datagen.questions.teach import scripted_teacher
    from datagen.tables import profile_table

    target = args.out / "episodes.jsonl"
    if target.exists():
        raise OutputExists(f"{target} is already there", "choose another --out, or remove it")
    tasks = []
    for path in args.csv:
        found = profile_table(path)
        questions = ask(found, count=args.per_table, seed=args.seed)
        tasks += [
            Task(question=q, tables=[table_ref(found, args.out)], paths=[path.resolve()])
            for q in questions
        ]
    teacher = scripted_teacher(tasks, seed=args.seed)
    journal = args.out / "episodes.journal.jsonl"
    with watched("answering", len(tasks)) as count:
        done = attempt_all(tasks, teacher, seed=args.seed, journal=journal, done=count)
    write_episodes(target, done)
    journal.unlink()
    verified = sum(e.verdict.verified for e in done)
    print(
        f"{verified} of {len(done)} episodes verified, sandbox {done[0].provenance.sandbox_level}: {target}"
    )
    return 0
