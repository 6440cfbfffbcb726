"""Near-duplicate questions, found by keys that two of them share: no question is compared with each other one."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from datagen.episode import Episode
from datagen.episodes.solution_shape import solution_shape, trace_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIMILAR = 0.85
SHINGLE = 5
PERMUTATIONS = 128
CACHED = 100_000


class Fingerprint(NamedTuple):
    """The bands of a question's text, hashed for this process, and the codes that were submitted."""

    bands: array[int]
    codes: tuple[str, ...]


def near_duplicates(ones: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> list[bool]:
    """Whether each of `ones` nearly equals one of `others`.

    Nearly: texts whose 5-character shingles have a Jaccard similarity of at least SIMILAR (MinHash with
    bands, Broder 1997), and one `solution_shape` in common. Both are needed, because two template
    questions with other columns read alike and are different questions.
    """
    bands = {band for one in ones for band in one.bands}
    shared = bands.intersection(band for other in others for band in other.bands)
    known = {key for other in others for key in _keys(other, shared)}
    return [any(key in known for key in _keys(one, shared)) for one in ones]


def _keys(one: Fingerprint, shared: set[int]) -> list[int]:
    """A key for each band of the text that both sides have, with each shape of the code."""
    bands = shared.intersection(one.bands)
    if not bands:
        return []
    shapes = {solution_shape(code) for code in one.codes}
    return [hash((band, shape)) for band in bands for shape in shapes]


def fingerprints() -> Callable[[Episode], Fingerprint]:
    """Return the function that gives an episode's fingerprint."""
    from datasketch import MinHash, MinHashLSH
    from datasketch.hashfunc import sha1_hash32

    ranges = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS).hashranges
    # One sketch for all: making a sketch costs more than filling it. Most shingles occur in many texts.
    sketch: Any = MinHash(num_perm=PERMUTATIONS, hashfunc=lru_cache(CACHED)(sha1_hash32))

    def fingerprint(episode: Episode) -> Fingerprint:
        sketch.clear()
        sketch.update_batch(_shingles(episode.question.text))
        bands = (hash((start, sketch.hashvalues[start:end].tobytes())) for start, end in ranges)
        return Fingerprint(array("q", bands), _codes(episode))

    return fingerprint


def _shingles(text: str) -> set[bytes]:
    """Overlapping runs of SHINGLE characters of the text, in lower case with single spaces."""
    plain = " ".join(text.lower().split())
    return {plain[at : at + SHINGLE].encode() for at in range(max(1, len(plain) - SHINGLE + 1))}


def _codes(episode: Episode) -> tuple[str, ...]:
    codes = {trace_code(trace) for trace in episode.traces if trace.submitted}
    if episode.question.code:
        codes.add(episode.question.code)
    return (*codes,)
