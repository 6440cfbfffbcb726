"""Two saved results against each other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.contract.errors import OutputExists

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "compare", help="two saved results against each other, question by question"
    )
    kinds = "run folder (its adapter), evaluation folder or transcript"
    verb.add_argument("first", type=Path, metavar="A", help=kinds)
    verb.add_argument("second", type=Path, metavar="B", help=f"{kinds}; the difference is B - A")
    verb.add_argument("--out", type=Path, metavar="FILE", help="write the comparison as JSON")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.comparison import compared
    from datagen.comparison_text import text
    from datagen.results import read_result, transcript_of, write_whole

    if args.out is not None and args.out.exists():
        raise OutputExists(f"{args.out} is already there", "choose another --out, or remove it")
    first, second = read_result(args.first), read_result(args.second)
    found = compared(first, second, names=("A", "B"))
    if args.out is not None:
        write_whole(args.out, json.dumps(found, indent=2) + "\n")
    if args.json:
        print(json.dumps(found))
        return 0
    for name, path, model in (("A", args.first, "base"), ("B", args.second, "adapter")):
        print(f"{name}: {transcript_of(path)} ({found['models'][model]})")
    print("\n".join(text(found, ("A", "B"))))
    return 0
