"""The mask lint: that a row's labels, as they are, train what the row says and what use will ask for.

Judged from token ids and from further renderings, not from how the labels were made.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from trainer.contract.rows import Row
from trainer.data.encode import cut, render_row
from trainer.data.masks import IGNORED, Encoded
from trainer.data.templates import ChatFormat

THINK = re.compile(r"</?think>")
SHOWN = 40
ALONE = (
    "train it as the last turn of a row of its own and give it weight 0 here, or give the model's "
    "folder a chat_template.jinja that keeps it"
)


class Found(NamedTuple):
    """``check`` is masks, doubles, content or prefix; ``text`` says what is wrong and what to do."""

    check: str
    text: str


def lint(row: Row, encoded: Encoded, chat_format: ChatFormat) -> Iterator[Found]:
    """Yield all that is wrong with how ``row`` was encoded."""
    yield from (Found("masks", text) for text in _masks(row, encoded, chat_format))
    yield from (Found("doubles", text) for text in _doubles(encoded, chat_format))
    parts = cut(chat_format, row.messages, row.tools)
    yield from (Found("content", text) for text in _forged(parts, encoded, chat_format))
    try:
        yield from (Found("prefix", text) for text in _prefix(row, parts, chat_format))
    except ValueError as error:
        yield Found("prefix", f"as far as a trained turn, it cannot stand alone: {error}")


def runs(encoded: Encoded) -> list[tuple[list[int], bool]]:
    """Cut the tokens where trained and context meet; each run with whether it is trained."""
    found: list[tuple[list[int], bool]] = []
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        trained = label != IGNORED
        if not found or found[-1][1] != trained:
            found.append(([], trained))
        found[-1][0].append(token)
    return found


def _trained(row: Row) -> list[tuple[int, dict[str, Any]]]:
    return [
        (at, message)
        for at, message in enumerate(row.messages)
        if message["role"] == "assistant" and message.get("weight", 1) == 1
    ]


def _masks(row: Row, encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    for token, label in zip(encoded.input_ids, encoded.labels, strict=True):
        if label not in {IGNORED, token}:
            yield f"a label is {label} where the token is {token}: report this"
            return
    wanted = _trained(row)
    found = [tokens for tokens, trained in runs(encoded) if trained]
    if len(found) != len(wanted):
        yield f"{len(found)} stretches are in the loss for {len(wanted)} trained turns: report this"
        return
    for (at, message), tokens in zip(wanted, found, strict=True):
        if tokens[-1] != chat_format.stop_id or tokens.count(chat_format.stop_id) != 1:
            yield (
                f"message {at + 1}: does not end with its stop token {chat_format.stop!r} in the loss: "
                "report this"
            )
        text = chat_format.tokenizer.decode(tokens)
        for part in _parts(message):
            if part not in text:
                yield (
                    f"message {at + 1}: the chat template leaves out {_short(part)!r}, so it is not "
                    f"trained: {ALONE}"
                )


def _parts(message: dict[str, Any]) -> list[str]:
    """Texts that a rendering of ``message`` must hold, whatever the template puts around them."""
    found = [*THINK.split(message["content"] or ""), message.get("reasoning_content") or ""]
    found += [call["function"]["name"] for call in message.get("tool_calls") or ()]
    return [part.strip() for part in found if part.strip()]


def _doubles(encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    tokenizer = chat_format.tokenizer
    once = {tokenizer.bos_token_id, tokenizer.eos_token_id, chat_format.stop_id} - {None}
    before = None
    for token in encoded.input_ids:
        if token == before and token in once:
            name = tokenizer.convert_ids_to_tokens(token)
            yield f"{name} stands there twice in a row: correct the model's chat template"
            return
        before = token


def _forged(pieces: list[str], encoded: Encoded, chat_format: ChatFormat) -> Iterator[str]:
    """Special tokens must be those that the template writes: content holds no text of one.

    A tokenizer that normalises text may still make one of content.
    """
    written = Counter(chat_format.special.findall("".join(pieces)))
    tokens = Counter(token for token in encoded.input_ids if token in chat_format.special_ids)
    for token, count in tokens.items():
        name = str(chat_format.tokenizer.convert_ids_to_tokens(token))
        if count > written[name]:
            yield (
                f"the tokenizer makes {name} of text that only looks like it, so the row could pass for "
                "other turns: remove or rewrite that text"
            )


def _prefix(row: Row, pieces: list[str], chat_format: ChatFormat) -> Iterator[str]:
    """What a turn follows, and the turn, must be what they are when it is the last one."""
    end = 0
    for number, (at, _) in enumerate(_trained(row)):
        start = end + len(pieces[2 * number])
        end = start + len(pieces[2 * number + 1])
        if at == 0:
            continue
        text = "".join(pieces[: 2 * number + 2])
        asked = render_row(chat_format, row.messages[:at], row.tools, add_generation_prompt=True)
        if text[:start] != asked:
            yield (
                f"message {at + 1}: follows another text in training than in use "
                f"({_apart(text[:start], asked)}): {ALONE}"
            )
            continue
        if at + 1 < len(row.messages):
            alone = render_row(chat_format, row.messages[: at + 1], row.tools)
            if not alone.startswith(text):
                yield (
                    f"message {at + 1}: the chat template writes it in another way once more messages "
                    f"follow ({_apart(text[start:], alone[start:])}): {ALONE}"
                )


def _apart(here: str, there: str) -> str:
    """Show two texts from where they differ on."""
    at = next(
        (i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b),
        min(len(here), len(there)),
    )
    return f"{_short(here[at:])!r} against {_short(there[at:])!r}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
