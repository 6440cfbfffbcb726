"""Leak-free splits: by the tables' rows first, then by question family, without near-duplicates."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from datagen.dataset.near_duplicates import Fingerprint, fingerprints, near_duplicates
from datagen.dataset.table_rows import rows_sha256
from datagen.episode import Episode, as_line
from trainer.contract.command.crash_safe_files import replacing
from trainer.contract.command.errors import BadData, Usage

Side = Literal["train", "test", "families"]
SIDES: tuple[Side, ...] = get_args(Side)
"""Episodes for training, on unseen tables, and of unseen families on seen tables."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The side of each episode, in the order of the episodes; None for one that is left out.

    `left_out` counts these by reason, `tables` the different tables of each side. `unread` names the
    tables whose rows could not be compared, because the file is missing or has changed.
    """

    sides: list[Side | None]
    tables: dict[Side, int]
    left_out: dict[str, int] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Placed:
    """What the split needs of an episode, and where it is put; `tables` are SHA-256 of files."""

    id: str
    family: str
    tables: frozenset[str]
    question: Fingerprint
    side: Side | None = None


def split(
    episodes: Iterable[Episode],
    folder: Path,
    *,
    test_share: float,
    seed: int,
    hold_out: Collection[str] = (),
    family_share: float = 0.0,
) -> Split:
    """Hold out tables, then families, then training questions that nearly equal one of a test side.

    Tables named in `hold_out` go to test; of the others the given share does, in the order of
    sha256(seed, rows); families likewise. Tables with the same rows in another order are one table:
    their files are read, at their paths in `folder`. Raises Usage for a name that no table has, BadData
    when a side stays empty.
    """
    files: dict[tuple[str, str], Path] = {}
    placed = [*_read(episodes, folder, files)]
    rows = {sha256: rows_sha256(path, sha256) for (sha256, _), path in files.items()}
    tables = {sha256: known or sha256 for sha256, known in rows.items()}
    named = [(name, tables[sha256]) for sha256, name in files]
    held = _held_tables(named, test_share=test_share, seed=seed, hold_out=hold_out)
    for each in placed:
        sides = {tables[sha256] in held for sha256 in each.tables}
        if len(sides) == 1:
            each.side = "test" if sides == {True} else "train"
    astride = sum(each.side is None for each in placed)
    if family_share:
        _hold_families(placed, family_share, seed)
    near = _drop_near_duplicates(placed)
    found = {
        side: {tables[sha256] for each in placed if each.side == side for sha256 in each.tables}
        for side in SIDES
    }
    needed: dict[Side, str] = {"train": "training", "test": "test"}
    for side, name in needed.items():
        if not found[side]:
            raise BadData(
                f"the split has no {name} episodes ({len({*tables.values()})} tables in the file)",
                "add tables (datagen tables --out invented --invent 8 writes some), or change --test-share",
            )
    counts = {"tables on both sides": astride, "near-duplicate of a test question": near}
    return Split(
        sides=[each.side for each in placed],
        tables={side: len(its) for side, its in found.items()},
        left_out={reason: count for reason, count in counts.items() if count},
        unread=[name for sha256, name in files if rows[sha256] is None],
    )


def write_sides(
    episodes: Iterable[Episode], sides: Iterable[Side | None], paths: Mapping[Side, Path]
) -> None:
    """Write each episode to the file of its side; each file is written whole or not at all."""
    with ExitStack() as stack:
        files = {side: stack.enter_context(replacing(path)) for side, path in paths.items()}
        for episode, side in zip(episodes, sides, strict=True):
            if side is not None:
                files[side].write(as_line(episode))


def _read(
    episodes: Iterable[Episode], folder: Path, files: dict[tuple[str, str], Path]
) -> Iterator[_Placed]:
    """Read what is needed; note in `files` the path of each table by SHA-256 and name."""
    fingerprint, shared = fingerprints(), dict[object, Any]()
    for episode in episodes:
        for table in episode.tables:
            files.setdefault((table.sha256, table.name), folder / table.path)
        tables = frozenset(table.sha256 for table in episode.tables)
        yield _Placed(
            id=episode.id,
            family=sys.intern(episode.question.family),
            tables=shared.setdefault(tables, tables),
            question=fingerprint(episode),
        )


def _hold_families(placed: Iterable[_Placed], share: float, seed: int) -> None:
    seen = [each for each in placed if each.side == "train"]
    held = {*_drawn({each.family for each in seen}, share, seed)}
    for each in seen:
        if each.family in held:
            each.side = "families"


def _drop_near_duplicates(placed: Iterable[_Placed]) -> int:
    """Leave out the training episodes that nearly equal one of a test side; return how many ids these have."""
    unseen = [each.question for each in placed if each.side in {"test", "families"}]
    train = [each for each in placed if each.side == "train"]
    found = near_duplicates([each.question for each in train], unseen)
    near = {each.id for each, dropped in zip(train, found, strict=True) if dropped}
    for each in train:
        if each.id in near:
            each.side = None
    return len(near)


def _held_tables(
    named: Collection[tuple[str, str]],
    *,
    test_share: float,
    seed: int,
    hold_out: Collection[str],
) -> set[str]:
    """The tables, of (name, table), that are `hold_out` or drawn; at least one of two or more."""
    names = {name for name, _ in named}
    if unknown := {*hold_out} - names:
        known = ", ".join(sorted(names))
        raise Usage(f"unknown table: {', '.join(sorted(unknown))}", f"choose from: {known}")
    held = {table for name, table in named if name in hold_out}
    rest = {table for _, table in named} - held
    least = int(test_share > 0 and len(rest) > 1 and not held)
    return held | {*_drawn(rest, test_share, seed, least)}


def _drawn(keys: Collection[str], share: float, seed: int, least: int = 0) -> list[str]:
    """Draw a share of the keys, at least so many, in an order that depends only on the seed and each key."""
    order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
    return order[: max(least, round(share * len(order)))]
