"""Models whose weights are here, answering in batches through the Model protocol.

Base and adapter are two models over one loaded base; both read prompts through the adapter folder's
tokenizer and frozen chat template.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datagen.models.device import free_memory
from datagen.models.local.batch import Batch, Row, unwatched
from datagen.models.local.token_ids import stop_ids, token_ids
from datagen.models.local.weights import ModelLocation, load, model_name
from datagen.models.protocol import NoReply, Reply
from datagen.models.thoughts import divide_thoughts

if TYPE_CHECKING:
    from datagen.episode import Message

REPLY_TOKENS = 256
BATCH = 64
JOIN_SHARE = (
    8  # rows join once they are this share of those under way: each time costs those a moment
)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """`tokens`: the most of a reply. At `temperature` 0 the likeliest token is taken."""

    tokens: int = REPLY_TOKENS
    temperature: float = 0.0


class Engine:
    """The loaded weights; `base` and, where there is one, `adapter` are models over them.

    Raises what `weights.load` raises.
    """

    def __init__(self, location: ModelLocation, generation: Generation | None = None) -> None:
        self.loaded = load(location)
        self.generation = generation or Generation()
        self.stops = stop_ids(self.loaded.tokenizer, self.loaded.weights)
        self.room = BATCH  # rows at a time
        self.tokens = self.under_way = 0
        self.base = LocalModel(self, name=location.base, adapted=False)
        self.adapter = (
            LocalModel(self, name=model_name(location), adapted=True) if location.adapter else None
        )

    @property
    def models(self) -> dict[str, LocalModel]:
        """By what they are, `base` and perhaps `adapter`."""
        return {"base": self.base} | ({"adapter": self.adapter} if self.adapter else {})

    @property
    def context(self) -> int | None:
        """The most tokens that the model reads and writes."""
        found = getattr(self.loaded.weights.config, "max_position_embeddings", None)
        return found if isinstance(found, int) else None

    def activity(self) -> str:
        """A line of text: what the engine is doing."""
        return f"{self.under_way} replies in progress, {self.tokens:,} tokens written"

    def serve(self, queue: CallQueue, *, adapted: bool) -> None:
        """Answer what the queue hands out, each as soon as it is written, until it has no more.

        A conversation that is too long gets no reply, the others do. Raises OutOfMemoryError where a
        row has no room alone.
        """
        plain = self.adapter is not None and not adapted
        with self.loaded.weights.disable_adapter() if plain else nullcontext():
            self._serve(queue)

    def _serve(self, queue: CallQueue) -> None:
        batch = Batch(
            self.loaded.weights,
            stops=self.stops,
            temperature=self.generation.temperature,
            device=self.loaded.device.place,
        )
        asked: dict[Row, PendingCall] = {}
        waiting: list[Row] = []
        while True:
            for one in queue.take():
                row = self._row(one)
                if row.most > 0:
                    asked[row] = one
                    waiting.append(row)
                else:
                    queue.answer(one, self._too_long(row))
            gone = [row for row, one in asked.items() if one.reply.done()]
            if gone:
                asked = {row: one for row, one in asked.items() if row not in gone}
                waiting = [row for row in waiting if row not in gone]
                batch.drop(gone)
            if not waiting and not batch:
                return
            for row in self._forward(batch, waiting):
                queue.answer(asked.pop(row), self._reply(row))
            self.under_way = len(batch)
            self.tokens += len(batch)

    def _forward(self, batch: Batch, waiting: list[Row]) -> list[Row]:
        """Let rows join, or write a token of each; which are over. A full card has fewer at a time."""
        import torch

        joining = self._rows_to_join(batch, waiting)
        try:
            over = batch.join(joining) if joining else batch.step()
        except torch.OutOfMemoryError:
            at_once = len(batch) + len(joining)
            if at_once == 1:
                raise
            self.room = at_once // 2
            waiting += batch.empty()
            free_memory()
            return []
        for row in joining:
            waiting.remove(row)
        return over

    def _rows_to_join(self, batch: Batch, waiting: Sequence[Row]) -> list[Row]:
        """The shortest of those whose turn it is, as many as one pass reads quickly."""
        room = self.room - len(batch)
        if room <= 0 or len(waiting) * JOIN_SHARE < len(batch) or not batch.takes_more:
            return []
        turn = sorted(waiting[:room], key=lambda row: len(row.ids))
        most = self.loaded.device.prefill_tokens
        fits = [row for at, row in enumerate(turn, 1) if at * len(row.ids) <= most]
        return fits or turn[:1]

    def _row(self, asked: PendingCall) -> Row:
        ids = token_ids(self.loaded.tokenizer, asked.messages)
        room = self.generation.tokens if self.context is None else self.context - len(ids)
        return Row(ids, asked.session, min(room, self.generation.tokens), asked.written)

    def _too_long(self, row: Row) -> NoReply:
        return NoReply(
            "refused",
            f"the conversation has {len(row.ids)} tokens, the model's context {self.context}",
        )

    def _reply(self, row: Row) -> Reply:
        thoughts, text = divide_thoughts(
            self.loaded.tokenizer.decode(row.done, skip_special_tokens=True)
        )
        return Reply(
            text=text,
            reasoning=thoughts,
            prompt_tokens=len(row.ids),
            completion_tokens=len(row.done) + row.ended,
            finish_reason="stop" if row.ended else "length",
        )


@dataclass(eq=False)
class PendingCall:
    """One call that waits for its reply; `written` is called with each of its tokens, in another thread."""

    messages: Sequence[Message]
    session: str
    reply: asyncio.Future[Reply]
    written: Callable[[int], object] = unwatched


class LocalModel:
    """One of the engine's models; calls in flight together are answered together."""

    connected = staticmethod(nullcontext)

    def __init__(self, engine: Engine, *, name: str, adapted: bool) -> None:
        self.engine = engine
        self.name = name
        self.adapted = adapted
        self.waiting: deque[PendingCall] = deque()
        self.worker: asyncio.Task[None] | None = None

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        session: str,
        written: Callable[[str], object] | None = None,
    ) -> Reply:
        """See `datagen.models.protocol.Model`; `written` is called with the text, a word at a time."""
        loop = asyncio.get_running_loop()
        with _as_text(self.engine.loaded.tokenizer, written) as put:
            asked = PendingCall([*messages], session, loop.create_future(), put)
            self.waiting.append(asked)
            if self.worker is None or self.worker.done():
                self.worker = asyncio.create_task(self._work())
            return await asked.reply

    async def _work(self) -> None:
        """Answer calls until the queue is empty."""
        queue = CallQueue(self.waiting, asyncio.get_running_loop())
        while self.waiting:
            try:
                await asyncio.to_thread(self.engine.serve, queue, adapted=self.adapted)
            except Exception as error:  # noqa: BLE001 - the callers get the error
                queue.fail(error)


@contextmanager
def _as_text(
    tokenizer: Any, written: Callable[[str], object] | None
) -> Iterator[Callable[[int], object]]:
    """Yield a function of a reply's tokens, which calls `written` with their text."""
    if written is None:
        yield unwatched
        return
    import torch
    from transformers import TextStreamer

    def put(token: int) -> None:
        if listening:  # the engine's thread may write one more token after an interrupt
            stream.put(torch.tensor([token]))

    def show(text: str, stream_end: bool = False) -> None:  # noqa: ARG001
        written(text)

    listening = True
    stream = TextStreamer(tokenizer, skip_special_tokens=True)
    stream.on_finalized_text = show
    try:
        yield put
    finally:
        listening = False
        stream.end()


class CallQueue:
    """Gives the engine's thread its calls, and the loop, where they are awaited, the replies."""

    def __init__(self, waiting: deque[PendingCall], loop: asyncio.AbstractEventLoop) -> None:
        self._waiting = waiting
        self._loop = loop
        self._open: dict[PendingCall, None] = {}

    def take(self) -> list[PendingCall]:
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        self._open |= dict.fromkeys(found)
        return found

    def answer(self, asked: PendingCall, reply: Reply | NoReply) -> None:
        self._open.pop(asked)
        self._loop.call_soon_threadsafe(_settle, asked.reply, reply)

    def fail(self, error: Exception) -> None:
        """Fail all calls that have no reply yet."""
        for asked in self._open:
            _settle(asked.reply, error)
        self._open.clear()


def _settle(future: asyncio.Future[Reply], reply: Reply | Exception) -> None:
    if future.done():  # the caller was cancelled
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
