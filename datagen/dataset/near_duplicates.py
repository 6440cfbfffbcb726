"""Near-duplicate questions, found by keys that two of them share: no question is compared with each other one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datagen.episode import Episode
from datagen.episodes.solution_shape import solution_shape, trace_code

if TYPE_CHECKING:
    from collections.abc import Callable

SIMILAR = 0.85
SHINGLE = 5
PERMUTATIONS = 128
CACHED = 100_000


def duplicate_keys() -> Callable[[Episode], list[int]]:
    """Return the function that gives an episode's keys; near-duplicates share one.

    They nearly equal in their questions' text: the 5-character shingles have a Jaccard similarity of
    at least SIMILAR (MinHash with bands, Broder 1997). And they have a `solution_shape` in common. Both
    are needed, because two template questions with other columns read alike and are different questions.
    A key is the hash of a band and a shape, valid in this process.
    """
    from datasketch import MinHash, MinHashLSH
    from datasketch.hashfunc import sha1_hash32

    bands = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS).hashranges
    # One sketch for all: making a sketch costs more than filling it. Most shingles occur in many texts.
    sketch: Any = MinHash(num_perm=PERMUTATIONS, hashfunc=lru_cache(CACHED)(sha1_hash32))

    def keys(episode: Episode) -> list[int]:
        sketch.clear()
        sketch.update_batch(_shingles(episode.question.text))
        shapes = _shapes(episode)
        return [
            hash((start, sketch.hashvalues[start:end].tobytes(), shape))
            for start, end in bands
            for shape in shapes
        ]

    return keys


def _shingles(text: str) -> set[bytes]:
    """Overlapping runs of SHINGLE characters of the text, in lower case with single spaces."""
    plain = " ".join(text.lower().split())
    return {plain[at : at + SHINGLE].encode() for at in range(max(1, len(plain) - SHINGLE + 1))}


def _shapes(episode: Episode) -> set[str]:
    codes = {trace_code(trace) for trace in episode.traces if trace.submitted}
    if episode.question.code:
        codes.add(episode.question.code)
    return {solution_shape(code) for code in codes}
