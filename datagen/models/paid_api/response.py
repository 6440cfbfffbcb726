"""Read an HTTP 200 from a chat completions API: it holds a reply, or an error. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datagen.models.paid_api.errors import Failure, error_in, error_message, failure_of_status
from datagen.models.paid_api.prices import money
from datagen.models.protocol import Reply
from datagen.models.thoughts import divide_thoughts
from trainer.contract.row_messages import REASONING

if TYPE_CHECKING:
    from datagen.models.paid_api.prices import Price


def read_answer(body: object, price: Price | None, *, now: float) -> Reply | Failure:
    """The reply in an answer's body, or the reason why it is missing.

    Cut at its length or by a filter, or with thoughts or tool calls and no text, it is still a reply; a broken
    generation (no choices, an error in the body, finish_reason `error`, nothing at all) is not.
    """
    if not isinstance(body, Mapping):
        # The provider has worked on it: it may be billed.
        return Failure(kind="retry", cause="HTTP 200 without a JSON object", cost=None)
    usage = _mapping(body.get("usage"))
    cost = cost_of(usage, price)
    choices = body.get("choices")
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    reason = choice.get("finish_reason")
    message = _mapping(choice.get("message"))
    thought, text = divide_thoughts(_text(message.get("content")))
    reasoning = _reasoning(message) or thought
    details = _mapping(usage.get("completion_tokens_details"))
    reasoning_tokens = _count(details.get("reasoning_tokens"))
    if (error := error_in(body)) is not None or reason == "error" or not choice:
        # Only a broken generation that has no usage is known to be free.
        charged = cost if usage else Decimal(0)
        return _broken(body, error, cost=charged, now=now)
    if not isinstance(reason, str):
        return Failure(kind="retry", cause="HTTP 200 without a finish_reason", cost=cost)
    wrote = text or reasoning or reasoning_tokens or message.get("tool_calls")
    if not wrote and reason not in {"length", "content_filter"}:
        return Failure(kind="retry", cause=f"an empty reply ({reason})", cost=cost)
    return Reply(
        text=text,
        reasoning=reasoning,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=reasoning_tokens,
        cost=cost,
        model=_name(body.get("model")),
        provider=_name(body.get("provider")),
        finish_reason=reason,
        generation=_name(body.get("id")),
    )


def cost_of(usage: Mapping[str, Any], price: Price | None) -> Decimal | None:
    """USD: what the API reports as charged, else by our price; None if neither is known.

    With the user's own key at a provider (`is_byok`) what that provider charges comes on top.
    """
    said_cost = money(usage.get("cost"))
    if said_cost is not None:
        details = _mapping(usage.get("cost_details"))
        upstream = money(details.get("upstream_inference_cost")) if usage.get("is_byok") else None
        return said_cost + (upstream or 0)
    if price is None or "prompt_tokens" not in usage:
        return None
    return price.of(_count(usage["prompt_tokens"]), _count(usage.get("completion_tokens")))


def _broken(
    body: Mapping[str, Any], error: Mapping[str, Any] | None, *, cost: Decimal | None, now: float
) -> Failure:
    code = error.get("code") if error else None
    if isinstance(code, int) and code >= 400:
        found = failure_of_status(code, body, {}, now=now)
        # The generation had begun: the request as such was accepted.
        kind = found.kind if found.kind in {"budget", "flagged"} else "retry"
        return Failure(
            kind=kind,
            cause=f"HTTP 200 with error {code}: {error_message(body)}",
            throttled=found.throttled,
            wait=found.wait,
            cost=cost,
        )
    what = (
        error_message(body)
        if error
        else "no choices"
        if not body.get("choices")
        else "generation failed"
    )
    return Failure(kind="retry", cause=f"HTTP 200: {what}", cost=cost)


def _text(content: object) -> str:
    """The text of a message: a string, or a list of parts."""
    if isinstance(content, Sequence) and not isinstance(content, str):
        return "".join(str(_mapping(part).get("text") or "") for part in content)
    return content if isinstance(content, str) else ""


def _reasoning(message: Mapping[str, Any]) -> str:
    """The thoughts that a server sends apart from the text, under the name that it uses."""
    return next((found for name in REASONING if (found := _text(message.get(name)))), "")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
