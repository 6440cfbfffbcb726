"""Conversations to token ids, as the trainer makes them, and the seed of a reply."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datagen.episode import Message


def rendered(tokenizer: Any, messages: Sequence[Message]) -> list[str]:
    """The prompt as text, cut where replies begin: the trainer tokenises those pieces apart."""
    plain = [message.model_dump() for message in messages]

    def text(until: int) -> str:
        found: str = tokenizer.apply_chat_template(
            plain[:until], tokenize=False, add_generation_prompt=True
        )
        return found

    whole = text(len(plain))
    starts = [n for n, message in enumerate(messages) if message.role == "assistant"]
    before = [text(n) for n in starts]
    cuts = [0, *(len(part) for part in before if whole.startswith(part)), len(whole)]
    return [whole[a:b] for a, b in pairwise(cuts)]


def token_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """The prompt as the trainer's token ids."""
    parts = tokenizer(rendered(tokenizer, messages), add_special_tokens=False)["input_ids"]
    return [token for part in parts for token in part]


def stop_ids(tokenizer: Any, weights: Any) -> frozenset[int]:
    """The tokens that end a turn."""
    told = weights.generation_config.eos_token_id
    more = told if isinstance(told, list) else [told]
    return frozenset(x for x in (tokenizer.eos_token_id, *more) if x is not None)


def reply_seed(session: str, length: int) -> int:
    """A random seed for each attempt's turn: the draws do not depend on other replies of the batch."""
    return int.from_bytes(hashlib.sha256(f"{session} {length}".encode()).digest()[:7], "big")
