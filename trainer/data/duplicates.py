"""Rows that are there twice, or nearly, within one file and across two."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from trainer.contract.rows import Row

# Jaccard similarity of the sets of SHINGLE characters in a row, and the hashes that estimate it.
SIMILAR = 0.9
SHINGLE = 5
PERMUTATIONS = 128


def digest(row: Row) -> str:
    """Return the SHA-256 of what a row says, whatever is trained of it."""
    said = [{key: m[key] for key in m if key != "weight"} for m in row.messages]
    return hashlib.sha256(json.dumps([said, row.tools], sort_keys=True).encode()).hexdigest()


def same(rows: Iterable[Row]) -> list[list[int]]:
    """Return the lines of each group of rows that say the same."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        groups[digest(row)].append(row.line)
    return [lines for lines in groups.values() if len(lines) > 1]


def leaked(held_out: Iterable[Row], rows: Iterable[Row]) -> list[tuple[int, int]]:
    """Return (line in ``held_out``, line in ``rows``) of held-out rows that are also trained on."""
    lines = {digest(row): row.line for row in rows}
    return [(row.line, lines[key]) for row in held_out if (key := digest(row)) in lines]


def near(rows: Sequence[Row], others: Sequence[Row] | None = None) -> list[tuple[int, int]]:
    """Return (line, line) of rows that are nearly, but not quite, an earlier one, or one of ``others``.

    Nearly: an estimated Jaccard similarity of at least SIMILAR (MinHash, Broder 1997). Each row is
    paired with one other at most, and stands for none itself then: of a thousand rows that are alike
    each is compared with the first. What a system message says does not count: it is often the same.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    seen: set[str] = set()
    first: dict[str, tuple[int, Any]] = {}
    found = []

    def add(key: str, row: Row, sketch: Any) -> None:
        first[key] = (row.line, sketch)
        index.insert(key, sketch)

    for row in others or ():
        if (key := digest(row)) not in seen:
            seen.add(key)
            add(key, row, _sketch(row))
    for row in rows:
        if (key := digest(row)) in seen:
            continue
        sketch = _sketch(row)
        alike = [first[one] for one in index.query(sketch)]
        twin = min((line for line, one in alike if sketch.jaccard(one) >= SIMILAR), default=None)
        if twin is not None:
            found.append((row.line, twin))
        if others is None:
            seen.add(key)
            if twin is None:
                add(key, row, sketch)
    return found


def _sketch(row: Row) -> Any:
    from datasketch import MinHash

    text = "\n".join(
        json.dumps([m["content"], m.get("tool_calls")], ensure_ascii=False)
        for m in row.messages
        if m["role"] != "system"
    )
    pieces = {text[at : at + SHINGLE].encode() for at in range(max(len(text) - SHINGLE + 1, 1))}
    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch(sorted(pieces))
    return sketch
