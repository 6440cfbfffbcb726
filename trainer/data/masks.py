"""Token ids and labels of a rendered chat: the characters of its trained turns are trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

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


def runs(encoded: Encoded) -> list[tuple[list[int], bool]]:
    """Cut the tokens where trained and context meet; each run with whether it is trained."""
    found: list[tuple[list[int], bool]] = []
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        trained = label != IGNORED
        if not found or found[-1][1] != trained:
            found.append(([], trained))
        found[-1][0].append(token)
    return found


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
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


def divide(tokenizer: Any, text: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Tokenise ``text`` as one, and divide the tokens like ``pieces``.

    Raises ``ValueError`` if the tokens up to a cut are not those of the text up to there.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    cuts = [0]
    for place in (position for span in spans for position in span):
        before = tokenizer(text[:place], add_special_tokens=False)["input_ids"]
        if ids[: len(before)] != before:
            raise ValueError("the tokenizer joins a prompt and its answer: use another base model")
        cuts.append(len(before))
    return [ids[start:end] for start, end in pairwise([*cuts, len(ids)])]


def preview(parts: Iterable[tuple[str, bool]]) -> str:
    """Return the text of ``parts`` with what is trained on between guillemets."""
    return "".join(f"«{text}»" if trained else text for text, trained in parts)
