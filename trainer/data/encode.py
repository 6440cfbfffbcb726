"""Rows into token ids and labels, with the policy for rows that are too long.

No row is ever cut: a longer one is dropped, split where a user speaks, or refused, and counted.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from trainer.contract.command.errors import BadData
from trainer.contract.rows import Row, Rows
from trainer.data.masks import Encoded, join, pieces, trained_spans
from trainer.data.templates import ChatFormat, control_texts, render

BATCH = 512  # rows tokenised in one call
SHOWN_LINES = 10
SHOWN_ROWS = 3
BINS = 20


@dataclass(slots=True)
class Examples:
    """All examples, end to end: example ``i`` has the ``lengths[i]`` tokens after those before it."""

    input_ids: "array[int]" = field(default_factory=lambda: array("i"))
    labels: "array[int]" = field(default_factory=lambda: array("i"))
    lengths: list[int] = field(default_factory=list)
    trained_tokens: int = 0
    dropped: list[int] = field(default_factory=list)
    split: list[int] = field(default_factory=list)
    lost_turns: int = 0
    lost_tokens: int = 0
    longest: int = 0
    shown: list[list[tuple[str, bool]]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens in all examples."""
        return len(self.input_ids)

    def add(self, encoded: Encoded) -> None:
        """Append one example."""
        self.input_ids.extend(encoded.input_ids)
        self.labels.extend(encoded.labels)
        self.lengths.append(len(encoded.input_ids))
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
                f"split at a turn (lines {_some(self.split)})"
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
    judge: Callable[[Row, Encoded], Iterable[str]] = lambda _row, _encoded: (),
) -> Examples:
    """Encode every row of the file at ``path``; ``judge`` yields what is wrong with a row and its labels.

    Raises ``BadData`` with a line for every row that the template cannot render, that holds control
    texts, that ``judge`` objects to, or (``overlong="error"``) that is longer than ``max_length``
    tokens; and when none is left.
    """
    examples = Examples()
    faults: list[str] = []
    for row, encoded in encode_each(rows.rows, chat_format, faults, path):
        if len(examples.shown) < SHOWN_ROWS:
            texts = cut(chat_format, row.messages, row.tools)
            examples.shown.append([(text, bool(at % 2)) for at, text in enumerate(texts) if text])
        examples.longest = max(examples.longest, len(encoded.input_ids))
        if len(encoded.input_ids) <= max_length or overlong == "split":
            faults += [f"{path}:{row.line}: {text}" for text in judge(row, encoded)]
        if len(encoded.input_ids) <= max_length:
            examples.add(encoded)
        elif overlong == "error":
            faults.append(
                f"{path}:{row.line}: {len(encoded.input_ids)} tokens, and max_length is {max_length}"
                ": shorten it, raise max_length, or set overlong to drop or split"
            )
        else:
            parts = _split(row, chat_format, max_length) if overlong == "split" else []
            # Turns, not tokens: a template may write a turn longer where it is the last one.
            lost = _turns(encoded, chat_format) - sum(_turns(p, chat_format) for p in parts)
            for part in parts:
                examples.add(part)
            if parts:
                examples.split.append(row.line)
            if lost:
                examples.dropped.append(row.line)
                examples.lost_turns += lost
                examples.lost_tokens += encoded.trained - sum(part.trained for part in parts)
    if faults:
        count = f"{len(faults)} fault" + ("s" if len(faults) > 1 else "")
        raise BadData(f"{path} cannot be trained on: {count}", "correct the rows", faults=faults)
    if not examples.lengths:
        raise BadData(
            f"{path}: every row is longer than {max_length} tokens",
            "allow longer ones with --set max_length=N, or --set overlong=split",
        )
    return examples


def encode_each(
    rows: Iterable[Row], chat_format: ChatFormat, faults: list[str], path: Path
) -> Iterator[tuple[Row, Encoded]]:
    """Yield every row with its tokens and labels; what a row cannot be encoded for goes to ``faults``."""
    batch: list[tuple[Row, list[str]]] = []
    for row in rows:
        try:
            batch.append((row, cut(chat_format, row.messages, row.tools)))
        except ValueError as error:
            faults.append(f"{path}:{row.line}: {error}")
        if len(batch) == BATCH:
            yield from _tokenise(chat_format, batch)
            batch = []
    yield from _tokenise(chat_format, batch)


def cut(
    chat_format: ChatFormat, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> list[str]:
    """Render one chat and cut it into context and trained pieces; ``ValueError`` says what and why."""
    for index, message in enumerate(messages):
        for text in control_texts(chat_format, message):
            raise ValueError(
                f"message {index + 1}: holds {text!r}, which only the chat template may write: "
                "remove or rewrite it"
            )
    for text in control_texts(chat_format, tools):
        raise ValueError(f"tools: hold {text!r}, which only the chat template may write: remove it")
    text = render_row(chat_format, messages, tools)
    return pieces(text, trained_spans(chat_format, text, messages))


def render_row(
    chat_format: ChatFormat,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]] | None,
    **options: Any,
) -> str:
    """Render messages as the row's; raises ``ValueError`` with what the template has against them."""
    from jinja2 import TemplateError

    plain = [{key: m[key] for key in m if key != "weight"} for m in messages]
    try:
        return render(chat_format.tokenizer, plain, tools=tools, **options)
    except (TemplateError, TypeError, ValueError) as error:
        raise ValueError(
            f"the chat template refuses it ({error}): change the order or kind of the messages"
        ) from None


def _tokenise(
    chat_format: ChatFormat, batch: list[tuple[Row, list[str]]]
) -> Iterator[tuple[Row, Encoded]]:
    texts = [text for _, parts in batch for text in parts]
    if not texts:
        return
    tokenised = iter(chat_format.tokenizer(texts, add_special_tokens=False)["input_ids"])
    for row, parts in batch:
        encoded = join([next(tokenised) for _ in parts])
        if _turns(encoded, chat_format) != len(parts) // 2:
            raise AssertionError(f"line {row.line}: a stop token is missing from the loss")
        yield row, encoded


def _split(row: Row, chat_format: ChatFormat, max_length: int) -> list[Encoded]:
    """Return parts of a row that fit, each with the leading system messages and a trained turn.

    Parts begin where a user speaks. A stretch that does not fit alone is left out.
    """
    lead = 0
    while lead < len(row.messages) and row.messages[lead]["role"] == "system":
        lead += 1
    system, rest = row.messages[:lead], row.messages[lead:]
    starts = [i for i, m in enumerate(rest) if m["role"] == "user" or i == 0]
    stretches = [rest[a:b] for a, b in zip(starts, [*starts[1:], len(rest)], strict=True)]
    parts: list[Encoded] = []
    open_part: list[dict[str, Any]] = []
    fitting: Encoded | None = None
    for stretch in stretches:
        longer = _fit([*system, *open_part, *stretch], row, chat_format, max_length)
        if longer is None:
            if fitting is not None:
                parts.append(fitting)
            open_part = []
            longer = _fit([*system, *stretch], row, chat_format, max_length)
        if longer is not None:
            open_part += stretch
        fitting = longer
    if fitting is not None:
        parts.append(fitting)
    return [part for part in parts if part.trained]


def _turns(encoded: Encoded, chat_format: ChatFormat) -> int:
    return encoded.labels.count(chat_format.stop_id)


def _fit(
    messages: list[dict[str, Any]], row: Row, chat_format: ChatFormat, max_length: int
) -> Encoded | None:
    try:
        texts = cut(chat_format, messages, row.tools)
    except ValueError:
        return None
    encoded = join(chat_format.tokenizer(texts, add_special_tokens=False)["input_ids"])
    return encoded if len(encoded.input_ids) <= max_length else None
