"""How many tokens rows have: counted with the model's chat template, or estimated from their characters."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from launcher.quote.chat_template import ChatTemplate
from trainer.contract.row_messages import is_trained
from trainer.contract.rows import Row

LETTERS = 4  # of a token
AROUND = 4  # tokens that a template writes around a message
COUNTED = 5_000  # rows; of more, these are counted and stand for all, with the LONGEST ones
LONGEST = 64
ROUGH = "estimated from characters, because the model's tokenizer is not on this machine: up to half too low or too high"
CHECKED = "counted by the check of the same rows"
EXACT = "counted with the model's own chat template"


@dataclass(slots=True)
class Lengths:
    """``each`` row's tokens; ``scored`` of all are trained on; ``how`` explains the figures to a user."""

    each: list[int] = field(default_factory=list)
    scored: float = 0
    how: str = ROUGH


TYPICAL = Lengths(
    [1000] * 1000,
    300_000,
    "of a typical set, because no data are given: 1,000 rows of 1,000 tokens, 300 of them trained",
)


def lengths(rows: Sequence[Row], template: ChatTemplate | None) -> Lengths:
    """Count the tokens of each row, or estimate them if ``template`` is None."""
    rough = [_estimate(row) for row in rows]
    found = Lengths([total for total, _ in rough], sum(trained for _, trained in rough))
    if template is None or not rows:
        return found
    longest = sorted(range(len(rows)), key=lambda at: -rough[at][0])[:LONGEST]
    stride = max(1, len(rows) // COUNTED)
    chosen = sorted({*range(0, len(rows), stride), *longest})
    counted = {at: one for at in chosen if (one := _count(rows[at], template))}
    if not counted:
        return found
    sampled = [at for at in range(0, len(rows), stride) if at in counted]
    factor = sum(sum(counted[at][0]) for at in sampled) / max(
        1, sum(rough[at][0] for at in sampled)
    )
    share = sum(counted[at][1] for at in sampled) / max(
        1, sum(sum(counted[at][0]) for at in sampled)
    )
    each = [
        length
        for at, (total, _) in enumerate(rough)
        for length in (counted[at][0] if at in counted else [round(total * factor)])
    ]
    return Lengths(each, share * sum(each), _how(len(counted), len(rows), len(each)))


def _how(counted: int, rows: int, each: int) -> str:
    found = (
        EXACT
        if counted == rows
        else f"{EXACT} in {counted:,} of {rows:,} rows, the longest among them"
    )
    if each > rows:
        found += (
            f"; it rewrites earlier turns, so each turn is a row: {rows:,} rows become {each:,}"
        )
    return found


def _count(row: Row, template: ChatTemplate) -> tuple[list[int], int] | None:
    """The tokens of the row, or of each row that it becomes, and the trained ones; None if it is refused."""
    wanted = [at for at, message in enumerate(row.messages) if is_trained(message)]
    ends = wanted if template.rewrites else wanted[-1:]
    try:
        texts = [template.render(row.messages[: at + 1], row.tools, **row.template) for at in ends]
        asked = [
            template.render(row.messages[:at], row.tools, prompt=True, **row.template)
            for at in ends
        ]
    except Exception:  # noqa: BLE001 - a template is foreign code; the check names its reason
        return None
    tails = [
        text.removeprefix(before).rstrip() if text.startswith(before) else _said(row.messages[at])
        for text, before, at in zip(texts, asked, ends, strict=True)
    ]
    # An answer is trained after the prompt of inference, also where the template writes it otherwise.
    texts = [
        text if text.startswith(before) else before + tail
        for text, before, tail in zip(texts, asked, tails, strict=True)
    ]
    others = [_said(row.messages[at]) for at in wanted if at not in ends]
    counts = template.count([*texts, *tails, *others])
    # Each of the others has an end token.
    return counts[: len(ends)], sum(counts[len(ends) :]) + len(others)


def _said(message: dict[str, Any]) -> str:
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    written = json.dumps(calls, ensure_ascii=False) if calls else ""
    return f"{message.get('reasoning_content') or ''}{message['content']}{written}"


def _estimate(row: Row) -> tuple[int, int]:
    """(tokens, trained tokens) from the number of characters, tools and thoughts included."""
    letters, trained = len(json.dumps(row.tools, ensure_ascii=False)) if row.tools else 0, 0
    for message in row.messages:
        said = len(_said(message))
        letters += said
        if is_trained(message):
            trained += said // LETTERS + 1
    return letters // LETTERS + AROUND * len(row.messages), trained
