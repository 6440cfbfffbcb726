"""What can go wrong with a chat completion, by script or by chance."""

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

Kind = Literal[
    "status",  # an HTTP error: `status`, `retry_after`, `message`, `metadata`
    "html",  # an HTTP error whose body is a proxy's page
    "error in 200",  # HTTP 200, no choices, an error with the code `status`
    "no choices",  # HTTP 200, choices is null, no error
    "empty",  # an assistant message with nothing in it, charged
    "thoughts",  # an assistant message with reasoning and no text, charged
    "tool calls",  # an assistant message with a call of a tool and no text, charged
    "finish",  # the generation ends with finish_reason `reason` ("error": with usage, charged)
    "slow",  # `seconds` later than others
    "hang",  # never answers; charged when `charged`
    "drop",  # the connection is cut before the answer; charged when `charged`
    "cut",  # the connection is cut in the middle of the answer, charged
    "garbage",  # HTTP 200, not JSON, charged when `charged`
]
WITHOUT_TEXT = {"empty", "thoughts", "tool calls"}
ANSWERED = {"slow", "finish", *WITHOUT_TEXT}
MODERATION = {
    "reasons": ["violence"],
    "flagged_input": "the shots ...",
    "provider_name": "OpenAI",
    "model_slug": "openai/gpt-oss-120b",
}


@dataclass(frozen=True)
class Mishap:
    kind: Kind
    status: int = 502
    retry_after: str | None = None
    message: str = "Provider returned error"
    metadata: dict[str, Any] = field(default_factory=dict)
    reason: str = "error"
    seconds: float = 0.5
    charged: bool = True

    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": self.retry_after}

    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.status, "message": self.message}
        if self.metadata:
            error["metadata"] = self.metadata
        return error


@dataclass
class Script:
    """The mishaps to come: those queued first, one a request; then each by its share of requests."""

    queue: deque[Mishap | None] = field(default_factory=deque)
    shares: list[tuple[float, Mishap]] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    _lock: Lock = field(default_factory=Lock)

    def add(self, mishaps: Iterable[Mishap | None]) -> None:
        with self._lock:
            self.queue.extend(mishaps)

    def next(self) -> Mishap | None:
        with self._lock:
            if self.queue:
                return self.queue.popleft()
            drawn = self.chance.random()
            for share, mishap in self.shares:
                if drawn < share:
                    return mishap
                drawn -= share
            return None
