"""Rows into token ids and labels, with the policy for rows that are too long.

No row is ever cut: a longer one is left out, split where a person speaks, or refused, and counted.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from trainer.contract.command.errors import BadData
from trainer.contract.data_faults import Faults
from trainer.contract.rows import Row, Rows
from trainer.data.lint import Found
from trainer.data.masks import Encoded, divide, join, pieces
from trainer.data.split import stretches
from trainer.data.templates import ChatFormat
from trainer.data.turns import THINKING, Mode, Part, TurnFault, parts, trained

EncodedPart = tuple[Part, Encoded]
Judge = Callable[[Part, Encoded], Iterable[Found]]
LONGER = "shorten it, raise max_length, or set overlong to drop or split"
BATCH = 512  # rows tokenised in one call
SHOWN_LINES = 10
SHOWN_ROWS = 3
BINS = 20


@dataclass(slots=True)
class Examples:
    """All examples, end to end: example ``i`` has the ``lengths[i]`` tokens after those before it.

    ``lines[i]`` is the line of its row. ``dropped``, ``split`` and ``divided`` are lines: of rows that were left out wholly or in part, split because
    they are too long, or divided by turns because the template rewrites earlier ones. The last became
    ``divided_into`` rows with ``added_tokens`` more tokens than they have as one row each. ``notes`` are warnings.
    """

    input_ids: "array[int]" = field(default_factory=lambda: array("i"))
    labels: "array[int]" = field(default_factory=lambda: array("i"))
    lengths: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    trained_tokens: int = 0
    dropped: list[int] = field(default_factory=list)
    split: list[int] = field(default_factory=list)
    divided: list[int] = field(default_factory=list)
    divided_into: int = 0
    added_tokens: int = 0
    lost_turns: int = 0
    lost_tokens: int = 0
    longest: int = 0
    shown: list[list[tuple[str, bool]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens in all examples."""
        return len(self.input_ids)

    def add(self, encoded: Encoded, line: int) -> None:
        """Append one example of the row of this line."""
        self.input_ids.extend(encoded.input_ids)
        self.labels.extend(encoded.labels)
        self.lengths.append(len(encoded.input_ids))
        self.lines.append(line)
        self.trained_tokens += encoded.trained

    def rows(self, numbers: Iterable[int]) -> list[list[int]]:
        """Return the token ids of the examples of these numbers, counted from 0."""
        ends = list(accumulate(self.lengths, initial=0))
        return [list(self.input_ids[ends[n] : ends[n + 1]]) for n in numbers]

    def dataset(self) -> Any:
        """Return a ``datasets.Dataset`` with columns input_ids and labels, one row per example."""
        import numpy as np
        import pyarrow as pa  # type: ignore[import-untyped]
        from datasets import Dataset

        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        columns = {
            name: pa.LargeListArray.from_arrays(ends, np.frombuffer(values, dtype=np.int32))
            for name, values in (("input_ids", self.input_ids), ("labels", self.labels))
        }
        return Dataset(pa.table(columns))

    def histogram(self) -> list[tuple[int, int]]:
        """Return (longest length, rows) of at most BINS bins of one width, the shortest first."""
        width = -(-max(self.lengths) // BINS)
        counts = Counter(-(-length // width) for length in self.lengths)
        return [(at * width, counts[at]) for at in range(min(counts), max(counts) + 1)]

    def warnings(self, rows: int, max_length: int) -> list[str]:
        """Return what to tell the user about rows that were too long."""
        found = []
        if self.dropped:
            found.append(
                f"{len(self.dropped)} of {rows} rows are longer than {max_length} tokens and were "
                f"left out, wholly or in part (lines {_some(self.dropped)}; "
                f"{self.lost_turns} trained turns lost, {self.lost_tokens} trained tokens)"
            )
        if self.split:
            found.append(
                f"{len(self.split)} of {rows} rows are longer than {max_length} tokens and were "
                f"split where a person speaks (lines {_some(self.split)})"
            )
        if self.divided:
            share = self.added_tokens / max(1, self.tokens - self.added_tokens)
            found.append(
                f"the model's chat template rewrites earlier turns: {rows} rows become "
                f"{rows - len(self.divided) + self.divided_into}, each turn as the model writes it, with "
                f"{self.added_tokens:,} more tokens (+{share:.0%}; lines {_some(self.divided)})"
            )
        return found


def _some(lines: list[int]) -> str:
    more = f" and {len(lines) - SHOWN_LINES} more" if len(lines) > SHOWN_LINES else ""
    return ", ".join(map(str, lines[:SHOWN_LINES])) + more


def encode_rows(
    path: Path,
    rows: Rows,
    chat_format: ChatFormat,
    *,
    max_length: int,
    overlong: Literal["drop", "split", "error"],
    turns: Mode = "auto",
    judge: Judge = lambda _part, _encoded: (),
    found: Callable[[int, Found], None] | None = None,
) -> Examples:
    """Encode every row of the file at ``path``; ``judge`` yields what is wrong with a part and its labels.

    ``found`` receives (line, finding) of each of those, of each row that the template cannot render or that
    holds special tokens, and (``overlong="error"``) of each that is longer than ``max_length`` tokens.
    Without it, or when no row is left, raises ``BadData`` with the findings that block.
    """
    examples = Examples()
    faults, notes = Faults(path), Faults(path, "times")

    def report(line: int, finding: Found) -> None:
        (faults if finding.blocks else notes).add(line, finding.text)
        if found is not None:
            found(line, finding)

    for row, encoded in encode_each(rows.rows, chat_format, report, turns=turns):
        examples.longest = max(examples.longest, *(len(e.input_ids) for _, e in encoded))
        kept = _fitting(row, encoded, chat_format, max_length, overlong, turns)
        if overlong == "error" and len(kept) < len(encoded):
            most = max(len(e.input_ids) for _, e in encoded)
            report(
                row.line,
                Found("lengths", f"{most} tokens, and max_length is {max_length}: {LONGER}"),
            )
        for part, one in kept:
            for finding in judge(part, one):
                report(row.line, finding)
            examples.add(one, row.line)
            if len(examples.shown) < SHOWN_ROWS:
                examples.shown.append(shown(part))
        _count(examples, row, encoded, kept)
    examples.notes = notes.grouped()
    if faults and found is None:
        raise faults.bad_data()
    if not examples.lengths:
        if faults:
            raise faults.bad_data()
        raise BadData(
            f"{path}: every row is longer than {max_length} tokens",
            "allow longer ones with --set max_length=N, or --set overlong=split",
        )
    return examples


def shown(part: Part) -> list[tuple[str, bool]]:
    """The text of a part, in stretches that are trained or not."""
    return [(text, bool(at % 2)) for at, text in enumerate(pieces(part.text, part.spans)) if text]


def _count(
    examples: Examples, row: Row, encoded: Sequence[EncodedPart], kept: Sequence[EncodedPart]
) -> None:
    """Count what became of a row. Turns, not tokens, are lost: a turn may have more tokens in another part."""
    lost = len(trained(row.messages)) - sum(len(part.spans) for part, _ in kept)
    if lost:
        examples.dropped.append(row.line)
        examples.lost_turns += lost
        left = sum(one.trained for _, one in encoded) - sum(one.trained for _, one in kept)
        examples.lost_tokens += max(left, 0)
    if len(encoded) > 1 and kept:
        examples.divided.append(row.line)
        examples.divided_into += len(kept)
        lengths = [len(one.input_ids) for _, one in kept]
        examples.added_tokens += sum(lengths) - max(lengths)
    if any(all(part is not other for other, _ in encoded) for part, _ in kept):
        examples.split.append(row.line)


def encode_each(
    rows: Iterable[Row],
    chat_format: ChatFormat,
    report: Callable[[int, Found], None],
    *,
    turns: Mode = "auto",
) -> Iterator[tuple[Row, list[EncodedPart]]]:
    """Yield every row with its parts, encoded; ``report`` receives what a row cannot be encoded for."""
    batch: list[tuple[Row, list[Part]]] = []
    for row in rows:
        try:
            found = parts(chat_format, row, turns)
            batch.append((row, found))
            if found and found[0].row.template != row.template:
                report(row.line, Found("earlier turns", thinking(found[0]), blocks=False))
        except TurnFault as fault:
            report(row.line, Found(fault.check, str(fault)))
        if len(batch) == BATCH:
            yield from _tokenise(chat_format, batch)
            batch = []
    yield from _tokenise(chat_format, batch)


def thinking(part: Part) -> str:
    """What to tell of a row that is rendered with ``enable_thinking`` because of its answers."""
    thinks = part.row.template[THINKING]
    why = "its answers have thoughts" if thinks else "no answer has thoughts"
    value = f"{THINKING}={str(thinks).lower()}"
    return f"the row is rendered with {value}, because {why}: use {value} at inference too"


def _tokenise(
    chat_format: ChatFormat, batch: list[tuple[Row, list[Part]]]
) -> Iterator[tuple[Row, list[EncodedPart]]]:
    every = [part for _, found in batch for part in found]
    encoded = iter(_encode(chat_format, every))
    for row, found in batch:
        yield row, [(part, next(encoded)) for part in found]


def _encode(chat_format: ChatFormat, found: list[Part]) -> list[Encoded]:
    tokenizer = chat_format.tokenizer
    if chat_format.whole:
        return [join(divide(tokenizer, part.text, part.spans)) for part in found]
    texts = [text for part in found for text in pieces(part.text, part.spans)]
    if not texts:
        return []
    tokens = iter(tokenizer(texts, add_special_tokens=False)["input_ids"])
    return [join([next(tokens) for _ in range(2 * len(part.spans) + 1)]) for part in found]


def _fitting(
    row: Row,
    encoded: list[EncodedPart],
    chat_format: ChatFormat,
    max_length: int,
    overlong: Literal["drop", "split", "error"],
    turns: Mode,
) -> list[EncodedPart]:
    """The parts of at most ``max_length`` tokens; with ``split``, of the row split where a person speaks."""
    fitting = [(part, one) for part, one in encoded if len(one.input_ids) <= max_length]
    if len(fitting) == len(encoded) or overlong != "split":
        return fitting
    lead, rest = stretches(row)
    found: list[EncodedPart] = []
    open_part: list[dict[str, Any]] = []
    fits: list[EncodedPart] | None = None
    for stretch in rest:
        longer = _fit([*lead, *open_part, *stretch], row, chat_format, max_length, turns)
        if longer is None:
            found += fits or ()
            open_part = []
            longer = _fit([*lead, *stretch], row, chat_format, max_length, turns)
        if longer is not None:
            open_part += stretch
        fits = longer
    return [*found, *(fits or ())]


def _fit(
    messages: list[dict[str, Any]], row: Row, chat_format: ChatFormat, max_length: int, turns: Mode
) -> list[EncodedPart] | None:
    """The parts of a row of these messages if all of them fit; none if it has no trained turn."""
    try:
        found = parts(chat_format, replace(row, messages=messages), turns)
    except TurnFault:
        return None
    encoded = _encode(chat_format, found)
    if any(len(one.input_ids) > max_length for one in encoded):
        return None
    return [*zip(found, encoded, strict=True)]
