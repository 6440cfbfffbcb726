"""Models whose weights are here, answering in batches through the Model protocol.

Base and adapter are two models over one loaded base; both read prompts through the adapter folder's
tokenizer and frozen chat template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datagen.local_weights import Place, load, name_of
from datagen.local_writing import Row, Written, stop_ids, token_ids, write
from datagen.models import NoReply, Reply

if TYPE_CHECKING:
    from datagen.episode import Message

TOKENS = 256
BATCH = 64
# Long enough for the coroutines that a finished batch woke to ask again, so batches stay full.
GATHER_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Writing:
    """`tokens`: the most of a reply. At `temperature` 0 the likeliest token is taken."""

    tokens: int = TOKENS
    temperature: float = 0.0


class Engine:
    """The loaded weights; `base` and, where there is one, `adapter` are models over them.

    Raises what `local_weights.load` raises.
    """

    def __init__(self, place: Place, writing: Writing | None = None) -> None:
        self.loaded = load(place)
        self.writing = writing or Writing()
        self.stops = stop_ids(self.loaded.tokenizer, self.loaded.weights)
        self.base = LocalModel(self, name=place.base, adapted=False)
        self.adapter = (
            LocalModel(self, name=name_of(place), adapted=True) if place.adapter else None
        )

    @property
    def context(self) -> int | None:
        """The most tokens that the model reads and writes."""
        found = getattr(self.loaded.weights.config, "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    def complete(self, asked: Sequence[Asked], *, adapted: bool) -> list[Reply | NoReply]:
        """One reply each, in order; a conversation that is too long gets none, the others do."""
        rows = [self._row(one) for one in asked]
        found: list[Reply | NoReply] = [self._too_long(row) for row in rows]
        fits = [at for at, row in enumerate(rows) if row.most > 0]
        # Rows of like length together: less padding where memory makes two batches of one.
        fits.sort(key=lambda at: len(rows[at].ids))
        for at, done in zip(fits, self._write([rows[at] for at in fits], adapted), strict=True):
            found[at] = self._reply(rows[at], done)
        return found

    def _row(self, asked: Asked) -> Row:
        ids = token_ids(self.loaded.tokenizer, asked.messages)
        room = self.writing.tokens if self.context is None else self.context - len(ids)
        return Row(ids=ids, session=asked.session, most=min(room, self.writing.tokens))

    def _too_long(self, row: Row) -> NoReply:
        return NoReply("refused", f"{len(row.ids)} tokens, and the model reads {self.context}")

    def _write(self, rows: Sequence[Row], adapted: bool) -> list[Written]:
        """In halves where the card has no room for all; a row that has none alone is raised."""
        import torch

        if not rows:
            return []
        weights = self.loaded.weights
        plain = self.adapter is not None and not adapted
        try:
            with weights.disable_adapter() if plain else nullcontext():
                return write(
                    weights,
                    rows,
                    stops=self.stops,
                    temperature=self.writing.temperature,
                    device=self.loaded.device,
                )
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(rows) // 2
        return [*self._write(rows[:half], adapted), *self._write(rows[half:], adapted)]

    def _reply(self, row: Row, done: Written) -> Reply:
        return Reply(
            text=self.loaded.tokenizer.decode(done.ids, skip_special_tokens=True),
            prompt_tokens=len(row.ids),
            completion_tokens=len(done.ids) + done.ended,
            finish_reason="stop" if done.ended else "length",
        )


@dataclass
class Asked:
    """One call that waits."""

    messages: Sequence[Message]
    session: str
    reply: asyncio.Future[Reply]


class LocalModel:
    """One of the engine's models; calls in flight together are answered as one batch."""

    def __init__(self, engine: Engine, *, name: str, adapted: bool) -> None:
        self.engine = engine
        self.name = name
        self.adapted = adapted
        self.waiting: list[Asked] = []
        self.worker: asyncio.Task[None] | None = None

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        asked = Asked([*messages], session, asyncio.get_running_loop().create_future())
        self.waiting.append(asked)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await asked.reply

    async def _work(self) -> None:
        """Answer batch after batch until nobody waits."""
        while self.waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
            try:
                replies = await asyncio.to_thread(self.engine.complete, batch, adapted=self.adapted)
            except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
                for asked in batch:
                    asked.reply.set_exception(error)
                continue
            for asked, reply in zip(batch, replies, strict=True):
                if isinstance(reply, NoReply):
                    asked.reply.set_exception(reply)
                else:
                    asked.reply.set_result(reply)
