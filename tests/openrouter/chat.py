"""POST /chat/completions: checks, routing, the answer and its price."""

import itertools
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tests.openrouter.catalog import Endpoint, Model

Brain = Callable[[Sequence[Mapping[str, str]]], str]
KNOWN = {
    "model", "messages", "temperature", "top_p", "max_tokens", "reasoning", "provider",
    "session_id", "seed", "stop",
}  # fmt: skip
ROUTING = {
    "order", "only", "ignore", "allow_fallbacks", "require_parameters", "quantizations",
    "max_price", "enforce_distillable_text", "sort", "data_collection", "zdr",
}  # fmt: skip
REASONING_TOKENS = 20
NUMBERS = itertools.count(1)


class Refused(Exception):
    def __init__(self, status: int, message: str, **metadata: Any) -> None:
        super().__init__(message)
        self.status = status
        self.metadata = metadata


def plain_brain(_: Sequence[Mapping[str, str]]) -> str:
    return "```python\nsubmit(len(df))\n```"


@dataclass(frozen=True)
class Generation:
    id: str
    body: dict[str, Any]
    endpoint: Endpoint
    cost: Decimal


def checked(body: Any, models: Mapping[str, Model]) -> Model:
    """The model asked for. Raises Refused for what the API would not take."""
    if not isinstance(body, dict) or not body.get("messages"):
        raise Refused(400, "messages is required", error_type="invalid_request")
    for message in body["messages"]:
        if set(message) != {"role", "content"} or not isinstance(message["content"], str):
            raise Refused(400, f"invalid message: {message}", error_type="invalid_prompt")
    if unknown := set(body) - KNOWN or set(body.get("provider", {})) - ROUTING:
        raise Refused(400, f"unknown here, check the client: {sorted(unknown)}")
    if len(body.get("session_id", "")) > 128:
        raise Refused(400, "session_id is longer than 128 characters")
    model = models.get(str(body.get("model")))
    if model is None:
        raise Refused(400, f"{body.get('model')} is not a valid model ID")
    if prompt_tokens(body) + body.get("max_tokens", 0) > model.context_length:
        raise Refused(
            400,
            f"This endpoint's maximum context length is {model.context_length} tokens",
            error_type="context_length_exceeded",
        )
    return model


def route(body: Mapping[str, Any], model: Model, chance: random.Random) -> Endpoint:
    """A provider that meets every wish, cheap ones more often (inverse square of the price)."""
    wishes = body.get("provider", {})
    if wishes.get("enforce_distillable_text") and not model.distillable:
        raise Refused(404, "No endpoints found that allow text distillation")
    found = [e for e in model.endpoints if _meets(e, wishes, body)]
    if not found:
        raise Refused(404, "No endpoints found matching your routing requirements")
    weights = [1 / max(float(e.prompt), 1e-9) ** 2 for e in found]
    return chance.choices(found, weights)[0]


def _meets(endpoint: Endpoint, wishes: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    ceiling = wishes.get("max_price", {})
    million = Decimal(1_000_000)
    dear = any(
        Decimal(getattr(endpoint, part)) * million > Decimal(str(most))
        for part, most in ceiling.items()
    )
    sent = set(body) & {"temperature", "top_p", "max_tokens", "reasoning", "seed", "stop"}
    unsupported = wishes.get("require_parameters") and not sent <= set(endpoint.parameters)
    return not (
        dear
        or unsupported
        or endpoint.slug not in wishes.get("only", [endpoint.slug])
        or endpoint.slug in wishes.get("ignore", [])
        or endpoint.quantization not in wishes.get("quantizations", [endpoint.quantization])
    )


def prompt_tokens(body: Mapping[str, Any]) -> int:
    return 8 + sum(4 + math.ceil(len(m["content"].encode()) / 4) for m in body["messages"])


def generate(
    body: Mapping[str, Any],
    model: Model,
    endpoint: Endpoint,
    brain: Brain,
    *,
    finish: str | None,
    without_text: str | None = None,
) -> Generation:
    """The answer as JSON, and what it costs; `finish` in place of the natural finish_reason.

    `without_text` is what it holds instead of text: "empty" (nothing), "thoughts" or "tool calls".
    """
    text = brain(body["messages"])
    most = body.get("max_tokens", 65536)
    written = REASONING_TOKENS + math.ceil(len(text.encode()) / 4)
    reason = finish or "stop"
    if written > most or finish == "length":
        text, written, reason = text[: 4 * max(0, most - REASONING_TOKENS)], most, "length"
    read = prompt_tokens(body)
    cost = endpoint.price(read, written)
    number = f"gen-{next(NUMBERS):08d}"
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": reason,
        "native_finish_reason": reason,
        "message": {"role": "assistant", "content": text, "refusal": None},
    }
    if reason == "error":
        choice["error"] = {"code": 502, "message": "The provider failed midway"}
    answer = {
        "id": number,
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model.id,
        "provider": endpoint.provider,
        "choices": [choice],
        "usage": {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "cost": float(cost),
            "is_byok": False,
            "completion_tokens_details": {"reasoning_tokens": min(REASONING_TOKENS, written)},
        },
    }
    if without_text is not None:
        _take_text(answer, without_text)
    # What is billed is what the JSON says, to the last digit.
    charged = Decimal(json.dumps(float(cost)))
    return Generation(number, answer, endpoint, charged)


def _take_text(answer: dict[str, Any], instead: str) -> None:
    choice, usage = answer["choices"][0], answer["usage"]
    choice["message"]["content"] = None
    if instead == "thoughts":
        choice["message"]["reasoning"] = "I have to count the rows."
        choice["message"]["reasoning_details"] = [
            {"type": "reasoning.text", "text": "I have to count the rows."}
        ]
    elif instead == "tool calls":
        choice["finish_reason"] = "tool_calls"
        call = {"name": "python", "arguments": '{"code": "submit(len(df))"}'}
        choice["message"]["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
    else:
        choice["message"]["content"] = ""
        usage["completion_tokens_details"]["reasoning_tokens"] = 0
