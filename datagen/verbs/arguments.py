"""What the verbs' parsers share: the kind of object they are added to, and checked argument types."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from trainer.contract.command.errors import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datagen.questions.records import Family
    from datagen.questions.sources import FamilySet
    from trainer.contract.command.arguments import Parser

    Verbs = argparse._SubParsersAction[Parser]  # noqa: SLF001 - it has no public name


def whole_count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def add_question_flags(
    verb: argparse.ArgumentParser, *, sources: Sequence[str], meaning: str
) -> None:
    """Add the flags that select the questions; `sources` are those this verb has."""
    verb.add_argument("--source", choices=sources, default="all", help=meaning)
    verb.add_argument(
        "--families",
        default="all",
        metavar="NAMES",
        help="families of question templates: all, basic (the demo's simple questions), names such "
        "as pearson,slope to make only those, or a TOML file with families (docs/questions.md)",
    )
    verb.add_argument(
        "--per-table",
        type=whole_count,
        default=40,
        metavar="N",
        help="maximum number of questions per table (default: 40)",
    )


def families_of(args: argparse.Namespace) -> FamilySet:
    """The families that ``--families`` selects: all, the demo's (basic), those named, or a file's.

    Raises:
        Usage: a name is unknown, or the source has no families.
        BadData: a record of the file is wrong.
    """
    text = args.families
    if text in {"all", "basic"}:
        return cast("FamilySet", text)
    from datagen.questions.basic import FAMILIES as BASIC
    from datagen.questions.records import bundled, read_families

    found: dict[str, Family] = {}
    for name in filter(None, (word.strip() for word in text.split(","))):
        if name.endswith(".toml"):
            found |= {family.name: family for family in read_families(Path(name))}
        elif name in BASIC or name in {"all", "basic"}:
            raise Usage(
                f"--families: {name!r} cannot be in a list of families",
                "use all, or basic (the demo's simple questions), or names of other families",
            )
        else:
            found[name] = family_named(name, bundled(), option="--families")
    if not found:
        raise Usage("--families: the list is empty", "use all, basic, names of families, or a file")
    if args.source not in {"template", "all"}:
        raise Usage(
            f"--families selects templates, but --source {args.source} uses none",
            "leave one of them out",
        )
    return (*found.values(),)


def family_named(name: str, families: Sequence[Family], *, option: str) -> Family:
    """The family of that name; raises Usage with the nearest names."""
    known = {family.name: family for family in families}
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.0)
        raise Usage(f"{option}: unknown family {name!r}", f"the nearest are: {', '.join(near)}")
    return known[name]


def share(text: str) -> float:
    """A share from 0 to 1."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return found
