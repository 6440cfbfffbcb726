"""Base and adapter behind a server that speaks OpenAI's API, such as `launch serve`, for a chat."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from datagen.missing_package import openai_package
from datagen.models.local.token_ids import reply_seed
from datagen.models.protocol import NoReply, Reply
from datagen.models.thoughts import divide_thoughts
from trainer.contract.command.errors import ModelUnavailable

if TYPE_CHECKING:
    import openai as sdk

    from datagen.episode import Message
    from datagen.models.local.model import Generation

LABELS = ("base", "adapter")
LIST_SECONDS, REPLY_SECONDS = 10.0, 900.0


class ServedEngine:
    """The models of the server at `url` that are named `base` and `adapter`.

    Raises ModelUnavailable if the server does not answer or has neither, and NotInstalled.
    """

    context: int | None = None  # the server refuses what is too long

    def __init__(self, url: str, generation: Generation, *, run: str) -> None:
        openai = openai_package()
        self.generation = generation
        if not urlsplit(url).path.strip("/"):
            url = url.rstrip("/") + "/v1"
        self.api: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0}
        hint = f"start it, and give the address that it prints: launch serve {shlex.quote(run)}"
        try:
            with openai.OpenAI(**self.api, timeout=LIST_SECONDS) as api:
                found = [model.id for model in api.models.list()]
        except openai.OpenAIError as error:
            raise ModelUnavailable(f"no server answers at {url}: {error}", hint) from None
        self.models = {one: ServedModel(one, url, self) for one in LABELS if one in found}
        if not self.models:
            raise ModelUnavailable(
                f"{url} serves {', '.join(found) or 'no model'}, not base or adapter", hint
            )


@dataclass(frozen=True)
class ServedModel:
    """One of a server's models, by its name there."""

    label: str
    url: str
    engine: ServedEngine

    @property
    def name(self) -> str:
        return f"{self.label} at {self.url}"

    async def reply(
        self,
        messages: Sequence[Message],
        *,
        session: str,
        written: Callable[[str], object],
    ) -> Reply:
        """Raises NoReply for what the server refuses, ModelUnavailable once it is gone."""
        openai = openai_package()
        text, ending, usage = "", None, None
        try:
            async with openai.AsyncOpenAI(**self.engine.api, timeout=REPLY_SECONDS) as api:
                async for piece in await self._stream(api, messages, session):
                    usage = piece.usage or usage
                    for choice in piece.choices:
                        ending = choice.finish_reason or ending
                        text += choice.delta.content or ""
                        written(choice.delta.content or "")
        except openai.BadRequestError as error:
            raise NoReply("refused", error.message) from None
        except openai.OpenAIError as error:
            raise ModelUnavailable(
                f"{self.url}: {error}", "see whether the server is running"
            ) from None
        thoughts, text = divide_thoughts(text)
        return Reply(
            text=text,
            reasoning=thoughts,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            finish_reason=ending,
        )

    async def _stream(
        self, api: sdk.AsyncOpenAI, messages: Sequence[Message], session: str
    ) -> sdk.AsyncStream[Any]:
        chat: Any = [message.model_dump() for message in messages]
        return await api.chat.completions.create(
            model=self.label,
            messages=chat,
            max_tokens=self.engine.generation.tokens,
            temperature=self.engine.generation.temperature,
            seed=reply_seed(session, len(chat)) % 2**31,
            stream=True,
            stream_options={"include_usage": True},
        )
