"""Generate replies in a batch: rows join a running batch, and each leaves when its reply ends.

The loop is our own because the library's `generate` continues to compute rows that have ended: in batches
of 64 a fifth to nearly half of the work (tests/bench/test_generation.py). Its continuous batching
(`generate_batch`) took 6 s a question with the tiny model on a CPU, where this takes 0.05 s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from datagen.models.local.token_ids import reply_seed


def unwatched(_token: int) -> None:
    """Ignore a token: the reply is read when it has ended."""


@dataclass(eq=False)
class Row:
    """A prompt, the most tokens of its reply, and the attempt it is of, whose name seeds the sampling.

    `done` is what was written; `ended`: the model ended its turn itself. `written` is called with each token.
    """

    ids: list[int]
    session: str
    most: int
    written: Callable[[int], object] = unwatched
    done: list[int] = field(default_factory=list)
    ended: bool = False

    @property
    def over(self) -> bool:
        return self.ended or len(self.done) >= self.most


class Batch:
    """Rows under way. Greedy at temperature 0; else each row has a random generator of the attempt's turn."""

    def __init__(
        self, weights: Any, *, stops: frozenset[int], temperature: float, device: str
    ) -> None:
        self.rows: list[Row] = []
        self._weights = weights
        self._stops = stops
        self._temperature = temperature
        self._device = device
        # Of each row: its random generator, and the last token, which is not in the cache yet.
        self._generators: list[Any] = []
        self._last: list[int] = []
        self._cache: Any = None
        self._mask: Any = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def takes_more(self) -> bool:
        """Whether rows can join now: a cache that holds more than keys cannot be laid beside another."""
        from transformers.cache_utils import DynamicLayer

        return not self.rows or all(type(layer) is DynamicLayer for layer in self._cache.layers)

    def join(self, rows: Sequence[Row]) -> list[Row]:
        """Read the rows' prompts and write the first token of each; return those that are over."""
        import torch

        width = max(len(row.ids) for row in rows)
        padded = [[0] * (width - len(row.ids)) + row.ids for row in rows]
        seen = [[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows]
        mask = torch.tensor(seen, device=self._device)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        generators = [
            torch.Generator().manual_seed(reply_seed(row.session, len(row.ids))) for row in rows
        ]
        ids = torch.tensor(padded, device=self._device)
        cache, chosen = self._forward(ids, mask, places, None, generators)
        if self.rows:
            cache, mask = _side_by_side((self._cache, self._mask), (cache, mask))
        self._cache, self._mask = cache, mask
        self.rows += rows
        self._generators += generators
        self._last += chosen
        return self._note(rows, chosen)

    def step(self) -> list[Row]:
        """Write one token of each row; return those that are over, which have left."""
        import torch

        mask = torch.cat([self._mask, self._mask.new_ones((len(self.rows), 1))], dim=1)
        places = mask.sum(1, keepdim=True) - 1
        ids = torch.tensor([[token] for token in self._last], device=self._device)
        self._cache, self._last = self._forward(ids, mask, places, self._cache, self._generators)
        self._mask = mask
        return self._note(self.rows, self._last)

    def drop(self, gone: Sequence[Row]) -> None:
        """Remove rows whose callers were cancelled."""
        self._keep([at for at, row in enumerate(self.rows) if row not in gone])

    def empty(self) -> list[Row]:
        """Remove and return all rows, to start them again in another batch."""
        rows = self.rows
        for row in rows:
            row.done.clear()
        self._keep([])
        return rows

    def _forward(
        self, ids: Any, mask: Any, places: Any, cache: Any, generators: Sequence[Any]
    ) -> tuple[Any, list[int]]:
        import torch

        with torch.inference_mode():
            out = self._weights(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                cache=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            return out.cache, _choose(out.logits[:, -1], generators, self._temperature)

    def _note(self, rows: Sequence[Row], tokens: Sequence[int]) -> list[Row]:
        for row, token in zip(rows, tokens, strict=True):
            if token in self._stops:
                row.ended = True
            else:
                row.done.append(token)
                row.written(token)
        over = [row for row in self.rows if row.over]
        if over:
            self._keep([at for at, row in enumerate(self.rows) if not row.over])
        return over

    def _keep(self, kept: Sequence[int]) -> None:
        import torch

        self.rows = [self.rows[at] for at in kept]
        self._generators = [self._generators[at] for at in kept]
        self._last = [self._last[at] for at in kept]
        if not kept:
            self._cache = self._mask = None
            return
        with torch.inference_mode():
            index = torch.tensor(kept, device=self._device)
            self._cache.batch_select_indices(index)
            self._mask = self._mask[index]


def _side_by_side(first: tuple[Any, Any], second: tuple[Any, Any]) -> tuple[Any, Any]:
    """One cache and mask out of two, the shorter one padded on the left."""
    import torch
    from torch.nn.functional import pad

    cache, mask = first
    other, seen = second
    unused = int(mask.argmax(dim=1).min())  # columns that only rows which have left made use of
    mask = mask[:, unused:]
    width = max(mask.shape[1], seen.shape[1])
    short, more = width - mask.shape[1], width - seen.shape[1]

    def both(one: Any, two: Any) -> Any:
        return torch.cat([pad(one, (0, 0, short, 0)), pad(two, (0, 0, more, 0))])

    with torch.inference_mode():
        for layer, fresh in zip(cache.layers, other.layers, strict=True):
            layer.keys = both(layer.keys[:, :, unused:], fresh.keys)
            layer.values = both(layer.values[:, :, unused:], fresh.values)
        return cache, torch.cat([pad(mask, (short, 0)), pad(seen, (more, 0))])


def _choose(logits: Any, generators: Sequence[Any], temperature: float) -> list[int]:
    import torch

    if temperature == 0:
        found: list[int] = logits.argmax(dim=-1).tolist()
        return found
    shares = torch.softmax(logits.float() / temperature, dim=-1).cpu()
    return [
        int(torch.multinomial(share, 1, generator=one))
        for share, one in zip(shares, generators, strict=True)
    ]
