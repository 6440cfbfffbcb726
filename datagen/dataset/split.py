"""Leak-free splits: by table content first, then by question family, with near-duplicates proved absent."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from datagen.episode import Episode
from datagen.episodes.solution_shape import PERMUTATIONS, shingles, solution_shape, trace_shape
from trainer.contract.command.errors import BadData, Usage

SIMILAR = 0.85


@dataclass(frozen=True, kw_only=True)
class Split:
    """Episodes for training, on unseen tables, and of unseen families on seen tables.

    `left_out` counts, by reason, the episodes that are in none of them.
    """

    train: list[Episode]
    test: list[Episode]
    families: list[Episode] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def split(
    episodes: Sequence[Episode],
    *,
    test_share: float,
    seed: int,
    hold_out: Collection[str] = (),
    family_share: float = 0.0,
) -> Split:
    """Hold out tables, then families, then training questions that nearly equal one of a test side.

    Tables named in `hold_out` go to test; of the others the given share does, in the order of
    sha256(seed, content); families likewise. Raises Usage for a name that no table has, BadData when
    a side stays empty.
    """
    held = _held_tables(episodes, test_share=test_share, seed=seed, hold_out=hold_out)
    seen, test, astride = [], [], 0
    for episode in episodes:
        sides = {table.sha256 in held for table in episode.tables}
        if sides == {True}:
            test.append(episode)
        elif sides == {False}:
            seen.append(episode)
        else:
            astride += 1
    names = {episode.question.family for episode in seen}
    held_families = set(_drawn(names, family_share, seed)) if family_share else set()
    families = [e for e in seen if e.question.family in held_families]
    candidates = [e for e in seen if e.question.family not in held_families]
    near = near_duplicates(candidates, [*test, *families])
    train = [e for e in candidates if e.id not in near]
    for side, name in ((train, "training"), (test, "test")):
        if not side:
            raise BadData(
                f"the split has no {name} episodes ({len(_names(episodes))} tables in the file)",
                "add tables, or change --test-share",
            )
    counts = {"tables on both sides": astride, "near-duplicate of a test question": len(near)}
    return Split(
        train=train,
        test=test,
        families=families,
        left_out={reason: count for reason, count in counts.items() if count},
    )


def near_duplicates(episodes: Sequence[Episode], held: Sequence[Episode]) -> set[str]:
    """Ids of the episodes whose question nearly equals a held-out one and has the same code.

    Nearly: texts whose 5-character shingles have a Jaccard similarity of at least SIMILAR (MinHash,
    128 permutations, Broder 1997). Same code: one `solution_shape` in common. Both are needed, because
    two template questions with other columns read alike and are different questions.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    shapes: dict[str, set[str]] = {}
    for number, episode in enumerate(held):
        index.insert(str(number), _minhash(episode, MinHash))
        shapes[str(number)] = _shapes(episode)
    return {
        episode.id
        for episode in episodes
        if any(
            _shapes(episode) & shapes[match] for match in index.query(_minhash(episode, MinHash))
        )
    }


def _minhash(episode: Episode, kind: type) -> object:
    sketch = kind(num_perm=PERMUTATIONS)
    sketch.update_batch(shingles(episode.question.text))
    return sketch


def _shapes(episode: Episode) -> set[str]:
    found = {trace_shape(trace) for trace in episode.traces if trace.submitted}
    if episode.question.code:
        found.add(solution_shape([episode.question.code]))
    return found


def _held_tables(
    episodes: Iterable[Episode], *, test_share: float, seed: int, hold_out: Collection[str]
) -> set[str]:
    names = _names(episodes)
    if unknown := set(hold_out) - set(names.values()):
        known = ", ".join(sorted(names.values()))
        raise Usage(f"unknown table: {', '.join(sorted(unknown))}", f"choose from: {known}")
    held = {sha for sha, name in names.items() if name in hold_out}
    return held | {*_drawn(names.keys() - held, test_share, seed)}


def _names(episodes: Iterable[Episode]) -> dict[str, str]:
    return {table.sha256: table.name for episode in episodes for table in episode.tables}


def _drawn(keys: Collection[str], share: float, seed: int) -> list[str]:
    """Draw a share of the keys, in an order that depends only on the seed and each key."""
    order = sorted(keys, key=lambda key: hashlib.sha256(f"{seed}{key}".encode()).digest())
    return order[: round(share * len(order))]
