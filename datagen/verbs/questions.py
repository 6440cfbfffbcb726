"""Ask questions with known answers about CSV files, and say what was dropped and why."""

from __future__ import annotations

import argparse
import json
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.verbs.arguments import add_question_flags, families_of, family_named
from datagen.verbs.reading_flags import add_reading_flags, profiles_of
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import BadData, OutputExists

if TYPE_CHECKING:
    from datagen.questions.sources import Batch, FamilySet
    from datagen.verbs.arguments import Verbs

SHOWN = 20
REASONS = 4
NO_DRAW = "no further question fits its columns"


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "questions", help="make questions with known answers from CSV files; calls no model"
    )
    verb.add_argument("csv", type=Path, nargs="+", metavar="CSV", help="CSV files")
    wanted = verb.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--out", type=Path, metavar="FILE", help="JSONL file to write")
    wanted.add_argument(
        "--explain",
        metavar="FAMILY",
        help="instead of a file, print one question of this family: its slots, SQL, code and answers",
    )
    add_question_flags(
        verb,
        sources=["template", "procedural", "all"],
        meaning="where questions come from: template, procedural (programs of several steps), or all (default: all)",
    )
    verb.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    verb.add_argument("--json", action="store_true", help="print the counts as JSON")
    add_reading_flags(verb)
    verb.first = ("--out", "--source", "--families", "--per-table", "--seed")
    verb.examples = (
        "datagen questions data/*.csv --out questions.jsonl",
        "datagen questions sales.csv --explain slope",
        "datagen questions sales.csv --families my_questions.toml --out mine.jsonl",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episodes.gather import gather_with_progress
    from datagen.episodes.run_questions import table_ref

    families = families_of(args)
    if args.explain:
        return _explain(args, families)
    if args.out.exists():
        raise OutputExists(f"{args.out} already exists", "choose another --out, or remove it")
    profiles, left_out = profiles_of(args)
    refs = {p.path: table_ref(p, args.out.parent).model_dump() for p in profiles}
    batches = [
        *gather_with_progress(
            profiles,
            count=args.per_table,
            seed=args.seed,
            source=args.source,
            families=families,
        )
    ]
    lines = [
        json.dumps(
            {"question": question.model_dump(), "tables": [refs[p.path] for p in batch.tables]}
        )
        for batch in batches
        for question in batch.questions
    ]
    short = _short(batches)
    if not args.json:
        _print_tables(batches, short)
    counts = _counts(batches)
    if not lines:
        if not args.json:
            _print_counts(counts)
        raise BadData(
            "no questions can be made from these tables", "look at the tables with: datagen profile"
        )
    write_whole(args.out, "".join(line + "\n" for line in lines))
    if args.json:
        print(
            json.dumps(
                {
                    "questions": len(lines),
                    "file": str(args.out),
                    "left_out": left_out,
                    "short": short,
                    **counts,
                }
            )
        )
        return 0
    _print_counts(counts)
    print(f"{len(lines)} questions: {args.out}")
    print(
        f"ask a model with: datagen episodes --questions {shlex.quote(str(args.out))} --out FOLDER"
    )
    return 0


def _explain(args: argparse.Namespace, families: FamilySet) -> int:
    from datagen.questions.explain import explain
    from datagen.questions.joining import joinable
    from datagen.questions.records import bundled

    known = families if isinstance(families, tuple) else bundled()
    family = family_named(args.explain, known, option="--explain")
    profiles, _ = profiles_of(args)
    single = ([profile] for profile in profiles)
    for tables in single if family.tables == 1 else joinable(profiles):
        print("\n".join(explain(family, tables, seed=args.seed)))
    return 0


def _short(batches: list[Batch]) -> list[dict[str, Any]]:
    """The tables with fewer questions than --per-table: the counts, and why draws were dropped."""
    found = []
    for batch in batches:
        if batch.short:
            about = [one for one in batches if one.tables == batch.tables]
            reasons = Counter[str]()
            for one in about:
                for (_, reason), times in one.dropped.items():
                    reasons[reason] += times
            made = sum(len(one.questions) for one in about)
            found.append(
                {
                    "tables": [p.name for p in batch.tables],
                    "made": made,
                    "asked": made + batch.short,
                    "dropped": dict(reasons.most_common()),
                }
            )
    return found


def _print_tables(batches: list[Batch], short: list[dict[str, Any]]) -> None:
    for batch in batches:
        names = " + ".join(p.name for p in batch.tables)
        print(f"{names}: {len(batch.questions)} {batch.source} questions")
    for one in short:
        reasons = [f"{n} {why}" for why, n in [*one["dropped"].items()][:REASONS]]
        why = ", ".join(reasons) or NO_DRAW
        print(f"{' + '.join(one['tables'])}: only {one['made']} of {one['asked']} questions: {why}")


def _counts(batches: list[Batch]) -> dict[str, Any]:
    made: Counter[str] = Counter()
    dropped: dict[str, Counter[str]] = {}
    for batch in batches:
        programs = batch.source == "procedural"
        made.update(batch.source if programs else question.family for question in batch.questions)
        for (family, reason), times in batch.dropped.items():
            dropped.setdefault(family or batch.source, Counter())[reason] += times
    shown = [text for batch in batches for text in batch.disagreements]
    return {
        "made": {**made},
        "dropped": {f: {**reasons} for f, reasons in dropped.items()},
        "disagreements": shown,
    }


def _print_counts(counts: dict[str, Any]) -> None:
    made, dropped = counts["made"], counts["dropped"]
    for family in sorted({*made, *dropped}):
        reasons = ", ".join(f"{n} {why}" for why, n in sorted(dropped.get(family, {}).items()))
        print(
            f"  {family:26} {made.get(family, 0):4}" + (f"   dropped: {reasons}" if reasons else "")
        )
    shown = counts["disagreements"]
    for text in shown[:SHOWN]:
        print(f"DISAGREE {text}")
    if len(shown) > SHOWN:
        print(f"... and {len(shown) - SHOWN} more disagreements")
