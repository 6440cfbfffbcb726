"""Conversations to token ids, and token ids to replies: one batch at a time over loaded weights.

The loop is our own because the library's `generate` goes on computing rows that have ended: in batches
of 64 a fifth to nearly half of the work (tests/bench/test_generation.py). Its continuous batching
(`generate_batch`) took 6 s a question with the tiny model on a CPU, where this takes 0.05 s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt and the attempt it belongs to, whose name seeds the sampling; `most` tokens of reply."""

    ids: list[int]
    session: str
    most: int


@dataclass
class Written:
    """`ended`: the model ended its turn itself."""

    ids: list[int] = field(default_factory=list)
    ended: bool = False


def write(
    weights: Any,
    rows: Sequence[Row],
    *,
    stops: frozenset[int],
    temperature: float,
    device: str,
) -> list[Written]:
    """The replies, greedily at temperature 0. Rows that end leave the batch."""
    import torch

    width = max(len(row.ids) for row in rows)
    padded = [[0] * (width - len(row.ids)) + row.ids for row in rows]
    seen = [[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows]
    ids, mask = torch.tensor(padded, device=device), torch.tensor(seen, device=device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    chances = [_generator(row, temperature, torch) for row in rows]
    done = [Written() for _ in rows]
    live = [*range(len(rows))]
    cache: Any = None
    with torch.inference_mode():
        for _ in range(max(row.most for row in rows)):
            out = weights(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = out.past_key_values
            drawn = [chances[row] for row in live]
            chosen = _choose(out.logits[:, -1], drawn, temperature, torch)
            kept = _take(chosen, live, done, rows, stops)
            if not kept:
                break
            if len(kept) < len(live):
                index = torch.tensor(kept, device=device)
                cache.batch_select_indices(index)
                mask, places = mask[index], places[index]
            ids = torch.tensor([[chosen[at]] for at in kept], device=device)
            live = [live[at] for at in kept]
            mask = torch.cat([mask, mask.new_ones((len(live), 1))], dim=1)
            places = places[:, -1:] + 1
    return done


def _take(
    chosen: Sequence[int],
    live: Sequence[int],
    done: Sequence[Written],
    rows: Sequence[Row],
    stops: frozenset[int],
) -> list[int]:
    """Write the tokens down; which of the batch's rows go on."""
    kept = []
    for at, (row, token) in enumerate(zip(live, chosen, strict=True)):
        if token in stops:
            done[row].ended = True
        else:
            done[row].ids.append(token)
            if len(done[row].ids) < rows[row].most:
                kept.append(at)
    return kept


def _choose(logits: Any, chances: Sequence[Any], temperature: float, torch: Any) -> list[int]:
    if temperature == 0:
        found: list[int] = logits.argmax(dim=-1).tolist()
        return found
    shares = torch.softmax(logits.float() / temperature, dim=-1).cpu()
    return [
        int(torch.multinomial(share, 1, generator=chance))
        for share, chance in zip(shares, chances, strict=True)
    ]


def _generator(row: Row, temperature: float, torch: Any) -> Any:
    """Chance of its own for each attempt's turn: what it draws does not hang on who is in the batch."""
    if temperature == 0:
        return None
    digest = hashlib.sha256(f"{row.session} {len(row.ids)}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
