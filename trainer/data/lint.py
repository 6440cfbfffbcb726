"""The lint of masks: a part's labels train the answers of its row, and nothing else.

It judges token ids and the row's messages, and does not use how the labels were made.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from trainer.data import lost
from trainer.data.masks import IGNORED, Encoded, pieces, runs
from trainer.data.templates import ChatFormat
from trainer.data.turns import Part, trained

REPORT = "report this"


class Found(NamedTuple):
    """``check`` is the name of a check; ``text`` is what is wrong and what to do."""

    check: str
    text: str
    blocks: bool = True


def lint(part: Part, encoded: Encoded, chat_format: ChatFormat) -> Iterator[Found]:
    """Yield all that is wrong with how ``part`` was encoded, and what a user should know about it."""
    yield from (Found("trained tokens", text) for text in _masks(part, encoded, chat_format))
    yield from (Found("repeated tokens", text) for text in _repeated(encoded, chat_format))
    yield from (Found("fake turns", text) for text in _forged(part, encoded, chat_format))
    yield from (Found("lost text", *one) for one in lost.lost(part, chat_format))
    yield from (Found("lost text", text, False) for text in lost.warnings(part, chat_format))


def _masks(part: Part, encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        if label not in {IGNORED, token}:
            yield f"a label is {label} where the token is {token}: {REPORT}"
            return
    wanted = trained(part.row.messages)
    found = [tokens for tokens, yes in runs(encoded) if yes]
    if len(found) != len(wanted):
        yield f"{len(found)} stretches are in the loss for {len(wanted)} trained turns: {REPORT}"
        return
    for at, tokens, (start, end) in zip(wanted, found, part.spans, strict=True):
        if tokens[-1] not in chat_format.special_ids or (
            chat_format.stop_id in tokens[:-1] or chat_format.tokenizer.bos_token_id in tokens
        ):
            yield f"message {at + 1}: does not end with its stop token in the loss: {REPORT}"
        text = chat_format.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        if _plain(text) != _plain(part.text[start:end]):
            yield f"message {at + 1}: the tokens in the loss decode to another text ({text[:40]!r}): {REPORT}"


def _plain(text: str) -> str:
    """Tokenizers normalise: Qwen's composes accents (NFC)."""
    return unicodedata.normalize("NFKC", text).strip()


def _repeated(encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    tokenizer = chat_format.tokenizer
    once = {tokenizer.bos_token_id, tokenizer.eos_token_id, chat_format.stop_id} - {None}
    before = None
    for token in encoded.input_ids:
        if token == before and token in once:
            name = tokenizer.convert_ids_to_tokens(token)
            yield f"{name} appears twice in a row: correct the model's chat template"
            return
        before = token


def _forged(part: Part, encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    """Special tokens must be those that the template writes: content holds no text of one.

    A tokenizer that normalises text may still make one of content.
    """
    written = Counter(chat_format.special.findall("".join(pieces(part.text, part.spans))))
    tokens = Counter(token for token in encoded.input_ids if token in chat_format.special_ids)
    for token, count in tokens.items():
        name = str(chat_format.tokenizer.convert_ids_to_tokens(token))
        if count > written[name]:
            yield (
                f"the tokenizer makes {name} of text that only looks like it, so the row could pass for "
                "other turns: remove or rewrite that text"
            )
