"""The Model protocol, and a scripted teacher that needs no key.

`datagen.models.paid_api` answers through an OpenAI-compatible API, `datagen.models.local.model` with weights on disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datagen.episode import Message


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's reply, and the tokens it read and wrote.

    `text` is what follows the thoughts; `reasoning` holds the thoughts where they are readable. `cost` is in USD, None
    if there is no charge. `reasoning_tokens` are part of `completion_tokens`. `finish_reason`, `provider` and
    `generation` (the call's id at the provider) are as the API gave them; `model` is the one that answered, if the API
    reports it. `quantization` is the provider's, where it offers the model in one only.
    """

    text: str
    reasoning: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost: Decimal | None = None
    model: str | None = None
    provider: str | None = None
    quantization: str | None = None
    finish_reason: str | None = None
    generation: str | None = None


NoReplyKind = Literal["length", "content_filter", "no text", "refused", "unavailable"]


class NoReply(Exception):  # noqa: N818 - not an error in the program, not a fault of the run
    """This call has no usable answer; other calls may.

    "length" (cut at max_tokens), "content_filter" and "no text" (thoughts or tool calls alone): there is a `reply`,
    paid for, and asking again in the same session gives the same. "refused": the API does not take this conversation.
    "unavailable": every try failed; asking again later may help.
    """

    def __init__(self, kind: NoReplyKind, cause: str, *, reply: Reply | None = None) -> None:
        super().__init__(f"{kind}: {cause}")
        self.kind: NoReplyKind = kind
        self.reply = reply


class Model(Protocol):
    """Anything that answers a conversation. Many `reply` calls may be in flight at once."""

    @property
    def name(self) -> str:
        """The name that goes into an episode's provenance."""
        ...

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        """The next assistant message of a conversation that ends with a user message.

        `session` names the attempt (episode and number): the same messages in the same session have
        one answer, in another session they are sent again. Free models may ignore it.
        Raises NoReply, or a Fault that ends the run.
        """
        ...


class ScriptedTeacher:
    """Answers known questions from a script: the user's first message leads to one reply a turn.

    A question that is missing from the script, or has more turns than it, is answered without code.
    """

    name = "scripted"

    def __init__(self, scripts: Mapping[str, Sequence[str]]) -> None:
        self.scripts = scripts

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        asked = next(message.content for message in messages if message.role == "user")
        turn = sum(message.role == "assistant" for message in messages)
        replies = self.scripts.get(asked, ())
        return Reply(text=replies[turn] if turn < len(replies) else "I do not know.")
