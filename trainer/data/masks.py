"""Which characters of a rendered chat are trained on, and the token ids and labels that follow.

A trained span starts after the generation prompt and ends with the turn's stop token, so the model
learns to write exactly what it is asked to write when it answers, and to stop.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from trainer.data.templates import ChatFormat

IGNORED = -100  # the label that the loss leaves out


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids and labels of one chat, of equal length."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """The number of tokens in the loss."""
        return len(self.labels) - self.labels.count(IGNORED)


def turns(chat_format: ChatFormat, text: str) -> list[tuple[int, int]]:
    """Return (start, end) of every assistant turn in ``text``: after its prompt, through its stop.

    Content must be free of control texts. Raises ``ValueError`` for a turn that is not closed.
    """
    spans = []
    position = text.find(chat_format.header)
    while position >= 0:
        opened = (
            chat_format.prompt
            if text.startswith(chat_format.prompt, position)
            else chat_format.header
        )
        start = position + len(opened)
        position = text.find(chat_format.header, start)
        limit = position if position >= 0 else len(text)
        stop = text.find(chat_format.stop, start, limit)
        if stop < 0:
            raise ValueError("the chat template leaves an assistant turn open")
        spans.append((start, stop + len(chat_format.stop)))
    return spans


def trained_spans(
    chat_format: ChatFormat, text: str, messages: list[dict[str, Any]]
) -> list[tuple[int, int]]:
    """Return the spans of the assistant turns with weight 1.

    Raises ``ValueError`` when the rendering does not have one turn for each assistant message.
    """
    weights = [m.get("weight", 1) for m in messages if m["role"] == "assistant"]
    spans = turns(chat_format, text)
    if len(spans) != len(weights):
        raise ValueError(
            f"the chat template writes {len(spans)} assistant turns for {len(weights)} messages"
        )
    return [span for span, weight in zip(spans, weights, strict=True) if weight == 1]


def pieces(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """Cut ``text`` into context, trained, context, trained, ..., context."""
    cuts = [0, *(position for span in spans for position in span), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def join(tokenised: list[list[int]]) -> Encoded:
    """Join the tokens of ``pieces``; every second piece is trained on."""
    ids: list[int] = []
    labels: list[int] = []
    for index, part in enumerate(tokenised):
        ids += part
        labels += part if index % 2 else [IGNORED] * len(part)
    return Encoded(ids, labels)


def preview(parts: Iterable[tuple[str, bool]]) -> str:
    """Return the text of ``parts`` with what is trained on between guillemets."""
    return "".join(f"«{text}»" if trained else text for text, trained in parts)
