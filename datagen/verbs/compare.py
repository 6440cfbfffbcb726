"""Compare two saved results."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.contract.command.errors import OutputExists

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser("compare", help="compare two saved results, question by question")
    kinds = "run folder (its adapter), evaluation folder or transcript"
    verb.add_argument("first", type=Path, metavar="A", help=kinds)
    verb.add_argument(
        "second",
        type=Path,
        nargs="?",
        metavar="B",
        help=f"{kinds}; the difference is B - A. Without B, the base and the adapter of A are compared"
        " again, from their transcripts",
    )
    verb.add_argument("--out", type=Path, metavar="FILE", help="write the comparison as JSON")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from trainer.contract.command.crash_safe_files import write_whole

    if args.out is not None and args.out.exists():
        raise OutputExists(f"{args.out} already exists", "choose another --out, or remove it")
    found = _comparison(args)
    if args.out is not None:
        write_whole(args.out, json.dumps(found, indent=2) + "\n")
    print(json.dumps(found) if args.json else "\n".join(_text_lines(args, found)))
    return 0


def _comparison(args: argparse.Namespace) -> dict[str, Any]:
    from datagen.evaluation.comparison import compare_models
    from datagen.evaluation.saved_results import read_all, read_result
    from datagen.evaluation.score import score_answers

    if args.second is None:
        return score_answers(read_all(args.first))
    return compare_models(read_result(args.first), read_result(args.second), names=("A", "B"))


def _text_lines(args: argparse.Namespace, found: dict[str, Any]) -> list[str]:
    from datagen.evaluation.comparison_text import comparison_lines, lines
    from datagen.evaluation.saved_results import transcript_of

    if args.second is None:
        return lines(found)
    pairs = (("A", args.first, "base"), ("B", args.second, "adapter"))
    named = [
        f"{name}: {transcript_of(path)} ({found['models'][model]})" for name, path, model in pairs
    ]
    return [*named, *comparison_lines(found, ("A", "B"))]
