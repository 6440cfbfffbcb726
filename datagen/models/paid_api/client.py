"""HTTP to an OpenAI-compatible API: the one place that speaks to it. No retries, no money, no waiting.

Through the `openai` package, below its typed answers: OpenRouter's errors come with HTTP 200 and would
fail its types. Its aiohttp transport, because with 500 connections httpx spends more time on finding
a free one than on the rest of the call (about 3.5 against 0.7 to 1.2 ms a call, on two busy cores).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datagen.missing_package import openai_package
from datagen.models.paid_api.errors import Failure, failure_of_status
from datagen.models.paid_api.response import read_answer
from trainer.contract.command.errors import TeacherRefused, TeacherUnavailable

if TYPE_CHECKING:
    import openai as sdk

    from datagen.models.paid_api.prices import Price
    from datagen.models.protocol import Reply
    from trainer.contract.command.secrets import Secret

LOOKUP_SECONDS = 30
LOOKUP_TRIES = 4


@dataclass
class Client:
    """`secret` None: the API needs no key. `timeout` in seconds for a whole reply."""

    base_url: str
    secret: Secret | None
    timeout: float
    connections: int
    _api: sdk.AsyncOpenAI | None = field(default=None, repr=False)

    def look_up(self, path: str, **query: str) -> Any:
        """GET `path` and return its JSON, trying again a few times.

        Raises TeacherRefused, TeacherUnavailable.
        """
        openai = openai_package()
        with openai.OpenAI(
            base_url=self.base_url,
            api_key=self._key(),
            max_retries=LOOKUP_TRIES - 1,
            timeout=LOOKUP_SECONDS,
        ) as api:
            try:
                text = api.get(path, cast_to=str, options={"params": query})
                return json.loads(text)
            except openai.APIStatusError as error:
                found = self._failure(error)
                cause = f"{self.base_url}{path}: {found.cause}"
                if found.kind == "retry":
                    raise TeacherUnavailable(cause, "try again later") from None
                raise TeacherRefused(cause, self.hint(found)) from None
            except (openai.APIConnectionError, ValueError, RecursionError) as error:
                raise TeacherUnavailable(
                    f"{self.base_url}{path}: {_cause(error)}",
                    "check the address, and that the server is running",
                ) from None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Hold connections in the running event loop; `ask` works inside."""
        openai = openai_package()
        import httpx2

        limits = httpx2.Limits(
            max_connections=self.connections, max_keepalive_connections=self.connections
        )
        async with openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self._key(),
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(limits=limits),
        ) as api:
            self._api = api
            try:
                yield
            finally:
                self._api = None

    async def ask(self, body: Mapping[str, Any], price: Price | None) -> Reply | Failure:
        """POST one chat completion. Never raises for what the API or the network does."""
        assert self._api is not None, "used outside of connected()"
        openai = openai_package()
        try:
            async with asyncio.timeout(self.timeout):
                text = await self._api.post("/chat/completions", cast_to=str, body=body)
        except openai.APIStatusError as error:
            return self._failure(error)
        except TimeoutError:
            return Failure(kind="retry", cause=f"no reply in {self.timeout:g} s", cost=None)
        except openai.APIConnectionError as error:
            if _never_sent(error):
                return Failure(kind="retry", cause=f"no connection: {_cause(error)}")
            return Failure(kind="retry", cause=f"connection lost: {_cause(error)}", cost=None)
        return read_answer(_parsed(self._without_key(text)), price, now=time.time())

    def hint(self, found: Failure) -> str:
        """What to do about a request that is not accepted."""
        if found.kind == "forbidden":
            return "the API knows the key but forbids the call: check the key's permissions and guardrails"
        if found.kind != "key":
            return "check the model's name, its settings and the address"
        if self.secret is None:
            return "if the API requires a key, give the variable that holds it: --key-name NAME"
        place = "" if self.secret.name in self.secret.source else f"{self.secret.name} in "
        return f"the API rejects the key in {place}{self.secret.source}: put a valid key there"

    def _key(self) -> str:
        return self.secret.value if self.secret else "none"

    def _failure(self, error: sdk.APIStatusError) -> Failure:
        response = error.response
        body = _parsed(self._without_key(response.text))
        return failure_of_status(response.status_code, body, response.headers, now=time.time())

    def _without_key(self, text: str) -> str:
        """Remove the key from a response: some servers repeat the request in their errors."""
        return text.replace(self.secret.value, "[the key]") if self.secret else text


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _never_sent(error: BaseException) -> bool:
    """Whether no connection was made, so that nothing can have been charged."""
    import aiohttp

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        cause = cause.__cause__
    return False


def _cause(error: BaseException) -> str:
    """The innermost cause in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__
