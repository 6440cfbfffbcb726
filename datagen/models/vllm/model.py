"""Base and adapter behind one vLLM server, through the Model protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from datagen.missing_package import LOCAL_MODEL, needing, openai_package
from datagen.models.device import find_device
from datagen.models.local.model import Generation
from datagen.models.local.token_ids import reply_seed, stop_ids, token_ids
from datagen.models.local.weights import ModelLocation, model_name
from datagen.models.protocol import NoReply, Reply
from datagen.models.thoughts import divide_thoughts
from datagen.models.vllm.server import ADAPTER, BASE, MAX_CONTEXT, Address, serving
from trainer.contract.command import libraries
from trainer.contract.command.errors import ModelUnavailable

if TYPE_CHECKING:
    import openai as sdk

    from datagen.episode import Message

CONCURRENCY = 128
"""Calls in flight: half of what vLLM takes into a batch at most."""
REPLY_SECONDS = 900.0  # its wait for a place in the batch included
RETRIES = 3
LOST_SECONDS = 2.0  # after which a server that has lost its connections is seen to have ended
REFUSED_STATUS = (400, 413, 422)
NAME = "vllm"


@dataclass(frozen=True, kw_only=True)
class PromptFormat:
    """What is needed to write prompts and end replies, without the weights."""

    tokenizer: Any
    stops: frozenset[int]
    context: int
    dtype: str


def read_prompt_format(location: ModelLocation) -> PromptFormat:
    """Raises NotInstalled and ModelUnavailable."""
    libraries.prepare_environment()
    with needing(LOCAL_MODEL):
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig
    try:
        config = AutoConfig.from_pretrained(location.base, revision=location.revision)
        tokenizer = AutoTokenizer.from_pretrained(location.tokenizer)
        try:
            told = GenerationConfig.from_pretrained(location.base, revision=location.revision)
        except OSError:
            told = GenerationConfig.from_model_config(config)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"model {location.base}: {' '.join(str(error).split())[:300]}",
            "give a complete model folder, or the id of a model on a reachable hub",
        ) from error
    if tokenizer.chat_template is None:
        raise ModelUnavailable(
            f"{location.tokenizer} has no chat template", "evaluate an instruct model"
        )
    return PromptFormat(
        tokenizer=tokenizer,
        stops=stop_ids(tokenizer, SimpleNamespace(generation_config=told)),
        context=min(getattr(config, "max_position_embeddings", None) or MAX_CONTEXT, MAX_CONTEXT),
        dtype=find_device().dtype,
    )


@contextmanager
def engine(
    location: ModelLocation, generation: Generation, log: Path
) -> Iterator[dict[str, VllmModel]]:
    """The models by what they are, `base` and perhaps `adapter`, while their server runs.

    Raises what `read_prompt_format` and `server.serving` raise.
    """
    read = read_prompt_format(location)
    with serving(
        location, context=read.context, dtype=read.dtype, log=log, ready=_is_ready
    ) as address:
        named = {BASE: location.base} | (
            {ADAPTER: model_name(location)} if location.adapter else {}
        )
        yield {
            served: VllmModel(
                name=name, served=served, at=address, read=read, generation=generation
            )
            for served, name in named.items()
        }


def _is_ready(address: Address) -> bool:
    openai = openai_package()
    with openai.OpenAI(base_url=address.url, api_key=address.key, max_retries=0, timeout=10) as api:
        try:
            api.models.list()
        except openai.APIError:
            return False
    return True


@dataclass(kw_only=True)
class VllmModel:
    """One of a server's models; `reply` works inside of `connected`."""

    name: str
    served: str
    at: Address
    read: PromptFormat
    generation: Generation
    _api: sdk.AsyncOpenAI | None = field(default=None, repr=False)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Hold connections in the running event loop."""
        openai = openai_package()
        async with openai.AsyncOpenAI(
            base_url=self.at.url, api_key=self.at.key, max_retries=RETRIES, timeout=REPLY_SECONDS
        ) as api:
            self._api = api
            try:
                yield
            finally:
                self._api = None

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        """Raises NoReply for a conversation that is too long, ModelUnavailable once the server is gone."""
        assert self._api is not None, "used outside of connected()"
        openai = openai_package()
        ids = token_ids(self.read.tokenizer, messages)
        room = min(self.generation.tokens, self.read.context - len(ids))
        if room < 1:
            raise NoReply(
                "refused",
                f"the conversation has {len(ids)} tokens, the model's context {self.read.context}",
            )
        try:
            found = await self._api.completions.create(
                model=self.served,
                prompt=ids,
                max_tokens=room,
                temperature=self.generation.temperature,
                seed=reply_seed(session, len(ids)),
                extra_body={"stop_token_ids": sorted(self.read.stops), "return_token_ids": True},
            )
        except openai.APIStatusError as error:
            cause = f"vLLM: {' '.join(str(error).split())[:300]}"
            if error.status_code in REFUSED_STATUS:
                raise NoReply("refused", cause) from None
            raise NoReply("unavailable", cause) from None
        except openai.APIConnectionError as error:
            await asyncio.sleep(LOST_SECONDS)
            if self.at.alive():
                raise NoReply("unavailable", f"vLLM: {error}") from None
            raise self.at.fault("vLLM ended before it answered") from None
        return self._reply(found.choices[0], len(ids))

    def _reply(self, choice: Any, asked: int) -> Reply:
        written = getattr(choice, "token_ids", None)
        if not isinstance(written, list):
            raise ModelUnavailable(
                "this vLLM does not return the token ids of its reply", "use vLLM 0.11 or newer"
            )
        ended = bool(written) and written[-1] in self.read.stops
        thoughts, text = divide_thoughts(
            self.read.tokenizer.decode(written[: len(written) - ended], skip_special_tokens=True)
        )
        return Reply(
            text=text,
            reasoning=thoughts,
            prompt_tokens=asked,
            completion_tokens=len(written),
            finish_reason=choice.finish_reason,
        )
