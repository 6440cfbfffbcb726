"""Leak-free splits: a table is wholly in train or wholly in test, decided by its content's hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

from datagen.episode import Episode
from trainer.contract.errors import BadData, Usage


def split_by_table(
    episodes: Sequence[Episode], *, test_share: float, seed: int, hold_out: Collection[str] = ()
) -> tuple[list[Episode], list[Episode]]:
    """(train, test) episodes with no table in both.

    Tables named in `hold_out` go to test; of the others the given share does, in the order of
    sha256(seed, content). Raises Usage for a name that no table has, BadData when a side stays empty.
    """
    names = {table.sha256: table.name for episode in episodes for table in episode.tables}
    if unknown := set(hold_out) - set(names.values()):
        known = ", ".join(sorted(names.values()))
        raise Usage(f"no table is named {', '.join(sorted(unknown))}", f"the tables are {known}")
    held = {sha for sha, name in names.items() if name in hold_out}
    free = sorted(
        names.keys() - held, key=lambda sha: hashlib.sha256(f"{seed}{sha}".encode()).digest()
    )
    held |= {*free[: round(test_share * len(free))]}
    train = [e for e in episodes if not any(table.sha256 in held for table in e.tables)]
    test = [e for e in episodes if all(table.sha256 in held for table in e.tables)]
    if not train or not test:
        side = "training" if not train else "test"
        raise BadData(
            f"the split leaves no {side} episode ({len(names)} tables)",
            "add tables, or change --test-share",
        )
    return train, test
