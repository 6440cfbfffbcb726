"""Equal and nearly equal rows, within one file and across two."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from trainer.contract.rows import Row
from trainer.data.turns import trained

# Jaccard similarity of the sets of SHINGLE characters, and the hashes that estimate it.
SIMILAR = 0.9
SHINGLE = 5
PERMUTATIONS = 128


def digest(row: Row) -> str:
    """Return the SHA-256 of a row's messages and tools, without the weights."""
    said = [{key: m[key] for key in m if key != "weight"} for m in row.messages]
    return hashlib.sha256(json.dumps([said, row.tools], sort_keys=True).encode()).hexdigest()


def same(rows: Iterable[Row]) -> list[list[int]]:
    """Return the lines of each group of equal rows."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        groups[digest(row)].append(row.line)
    return [lines for lines in groups.values() if len(lines) > 1]


def leaked(held_out: Iterable[Row], rows: Iterable[Row]) -> list[tuple[int, int]]:
    """Return (line in ``held_out``, line in ``rows``) of held-out rows that are also trained on."""
    lines = {digest(row): row.line for row in rows}
    return [(row.line, lines[key]) for row in held_out if (key := digest(row)) in lines]


def near(rows: Sequence[Row], others: Sequence[Row] | None = None) -> list[tuple[int, int]]:
    """Return (line, line) of rows that nearly equal an earlier one, or one of ``others``, but do not equal it.

    Nearly: the trained texts, and also the last questions, have an estimated Jaccard similarity of at least
    SIMILAR (MinHash, Broder 1997). Rows about one table share its description, which counts for nothing: of a
    question only the last paragraph is compared. Each row is paired with one other at most, and no other row with
    it: of a thousand similar rows each is compared with the first.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    seen: set[str] = set()
    first: dict[str, tuple[int, _Sketches]] = {}
    found = []

    def add(key: str, row: Row, sketches: _Sketches) -> None:
        first[key] = (row.line, sketches)
        index.insert(key, sketches.both)

    for row in others or ():
        if (key := digest(row)) not in seen:
            seen.add(key)
            add(key, row, _sketches(row))
    for row in rows:
        if (key := digest(row)) in seen:
            continue
        sketches = _sketches(row)
        similar = [first[one] for one in index.query(sketches.both)]
        other = min((line for line, one in similar if sketches.near(one)), default=None)
        if other is not None:
            found.append((row.line, other))
        if others is None:
            seen.add(key)
            if other is None:
                add(key, row, sketches)
    return found


class _Sketches(NamedTuple):
    answer: Any
    question: Any
    both: Any

    def near(self, other: "_Sketches") -> bool:
        return bool(
            self.answer.jaccard(other.answer) >= SIMILAR
            and self.question.jaccard(other.question) >= SIMILAR
        )


def _sketches(row: Row) -> _Sketches:
    wanted = trained(row.messages)
    answers = [row.messages[at] for at in wanted]
    text = "\n".join(
        json.dumps([m["content"], m.get("tool_calls")], ensure_ascii=False) for m in answers
    )
    asked = [m["content"] for m in row.messages[: wanted[-1]] if m["role"] == "user"]
    question = asked[-1].strip().rpartition("\n\n")[2] if asked else ""
    answer, last = _pieces("a", text), _pieces("q", question)
    return _Sketches(_sketch(answer), _sketch(last), _sketch(answer | last))


def _pieces(kind: str, text: str) -> set[bytes]:
    starts = range(max(len(text) - SHINGLE + 1, 1))
    return {f"{kind}{text[at : at + SHINGLE]}".encode() for at in starts}


def _sketch(pieces: set[bytes]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS)
    sketch.update_batch(sorted(pieces))
    return sketch
