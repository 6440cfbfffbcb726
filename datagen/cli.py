"""The datagen commands: tables, profile, episodes, split, export, evaluate."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.contract.errors import NotInstalled, OutputExists, Usage, run_main

if TYPE_CHECKING:
    from datagen.episode import Episode

INSTALL = "install it with: pip install '.[datagen]'"


def main(argv: Sequence[str] | None = None) -> int:
    return run_main(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    try:
        import pandas  # noqa: F401, ICN001
    except ImportError as error:
        raise NotInstalled(f"{error.name} is not installed", INSTALL) from error
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="datagen", description="Verified episodes from CSV files, and evaluation."
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    verb = verbs.add_parser(
        "tables", help="write the bundled tables, and invented ones, to a folder"
    )
    verb.add_argument("--out", type=Path, required=True, help="folder to write CSV files to")
    verb.add_argument(
        "--invent", type=int, default=0, metavar="N", help="also invent N tables (at most 24)"
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=tables)

    verb = verbs.add_parser(
        "profile", help="what is in CSV files: rows, columns, kinds, missing values"
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=profile)

    verb = verbs.add_parser(
        "episodes", help="ask questions about CSV files and keep the verified answers"
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV")
    verb.add_argument("--out", type=Path, required=True, help="folder to write episodes.jsonl to")
    verb.add_argument(
        "--per-table", type=_count, default=40, metavar="N", help="questions for each table (40)"
    )
    verb.add_argument("--teacher", choices=["scripted"], default="scripted")
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=episodes)

    verb = verbs.add_parser("split", help="split episodes by table into train.jsonl and test.jsonl")
    verb.add_argument("episodes", type=Path, metavar="EPISODES")
    verb.add_argument(
        "--test-share", type=float, default=0.25, help="share of the tables to hold out (0.25)"
    )
    verb.add_argument(
        "--hold-out",
        action="append",
        default=[],
        metavar="TABLE",
        help="hold this table out; repeatable",
    )
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=split)

    verb = verbs.add_parser(
        "export", help="write verified episodes as training rows (OpenAI chat JSONL)"
    )
    verb.add_argument("episodes", type=Path, metavar="EPISODES")
    verb.add_argument("--out", type=Path, required=True, help="JSONL file to write")
    verb.set_defaults(run=export)

    verb = verbs.add_parser("evaluate", help="base against adapter on held-out episodes")
    verb.add_argument("--model", type=Path, required=True, help="run folder, or adapter folder")
    verb.add_argument("--episodes", type=Path, required=True, help="held-out episodes")
    verb.add_argument("--out", type=Path, help="folder for comparison.json (the run folder)")
    verb.add_argument("--limit", type=_count, metavar="N", help="ask only N, drawn by the seed")
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--overwrite", action="store_true", help="ask again what was asked before")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=evaluate)
    return parser


def _count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def tables(args: argparse.Namespace) -> int:
    from datagen.invent import LIMIT, invent_tables
    from datagen.tables import bundled_tables

    if not 0 <= args.invent <= LIMIT:
        raise Usage(f"--invent {args.invent}: not between 0 and {LIMIT}", "choose fewer")
    args.out.mkdir(parents=True, exist_ok=True)
    bundled = [Path(shutil.copy(path, args.out)) for path in bundled_tables()]
    invented = invent_tables(args.out, count=args.invent, seed=args.seed)
    print(f"{len(bundled)} bundled and {len(invented)} invented tables in {args.out}")
    return 0


def profile(args: argparse.Namespace) -> int:
    from datagen.tables import profile_table

    found = [profile_table(path) for path in args.csv]
    if args.json:
        for table in found:
            print(json.dumps(asdict(table), default=str))
        return 0
    for table in found:
        columns = ", ".join(
            f"{c.name} {c.kind}" + (f" ({c.missing} missing)" if c.missing else "")
            for c in table.columns
        )
        print(f"{table.name}: {table.rows} rows: {columns}")
    return 0


def episodes(args: argparse.Namespace) -> int:
    from datagen.episode import write_episodes
    from datagen.generate import Task, attempt_all, table_ref
    from datagen.questions.teach import scripted_teacher
    from datagen.questions.template import ask
    from datagen.tables import profile_table

    target = args.out / "episodes.jsonl"
    if target.exists():
        raise OutputExists(f"{target} is already there", "choose another --out, or remove it")
    tasks = []
    for path in args.csv:
        found = profile_table(path)
        questions = ask(found, count=args.per_table, seed=args.seed)
        tasks += [
            Task(question=q, table=table_ref(found, args.out), path=path.resolve())
            for q in questions
        ]
    teacher = scripted_teacher(tasks, seed=args.seed)
    journal = args.out / "episodes.journal.jsonl"
    with _watched("answering", len(tasks)) as count:
        done = attempt_all(tasks, teacher, seed=args.seed, journal=journal, done=count)
    write_episodes(target, done)
    journal.unlink()
    verified = sum(e.verdict.verified for e in done)
    print(
        f"{verified} of {len(done)} episodes verified, sandbox {done[0].provenance.sandbox_level}: {target}"
    )
    return 0


@contextmanager
def _watched(label: str, total: int) -> Iterator[Callable[[Episode], None]]:
    """Progress over `total` episodes, with the number of right answers."""
    from datagen.progress import Progress

    verified = 0

    def count(episode: Episode) -> None:
        nonlocal verified
        verified += episode.verdict.verified
        progress.advance(f"{verified} right")

    with Progress(label, total) as progress:
        yield count


def split(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes, write_episodes
    from datagen.split import split_by_table

    sides = split_by_table(
        read_episodes(args.episodes),
        test_share=args.test_share,
        seed=args.seed,
        hold_out=args.hold_out,
    )
    for name, side in zip(("train", "test"), sides, strict=True):
        path = args.episodes.parent / f"{name}.jsonl"
        write_episodes(path, side)
        print(
            f"{len(side)} episodes over {len({t.sha256 for e in side for t in e.tables})} tables: {path}"
        )
    return 0


def export(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes
    from datagen.export import export as write_rows

    print(f"{write_rows(read_episodes(args.episodes), args.out)} rows: {args.out}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes
    from datagen.evaluate import FOLDER, sample, tasks_of
    from datagen.evaluate import evaluate as ask_both
    from datagen.local_model import Engine, adapter_folder

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
        watch=_watched,
    )
    print(json.dumps(found) if args.json else _comparison_text(found))
    if not args.json:
        print(f"written: {output / 'comparison.json'}, {output / FOLDER / 'questions.jsonl'}")
    return 0


def _comparison_text(found: dict[str, Any]) -> str:
    lines = [f"{'':24}{'n':>5}{'base':>8}{'adapter':>9}{'difference':>12}"]
    for heading in ("families", "tables"):
        lines += [_comparison_line(name, row) for name, row in found[heading].items()] + [""]
    lines.append(_comparison_line("all", found))
    lines.append(
        f"wins {found['wins']}, losses {found['losses']}, exact McNemar p = {found['mcnemar_p']:.2g}"
    )
    return "\n".join(lines)


def _comparison_line(name: str, row: dict[str, Any]) -> str:
    return f"{name:24}{row['n']:>5}{row['base']:>8.3f}{row['adapter']:>9.3f}{row['difference']:>+12.3f}"
