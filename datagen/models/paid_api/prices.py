"""What a call can cost at most, and what it did cost. Money is Decimal, in USD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datagen.episode import Message

MILLION = Decimal(1_000_000)
# What a chat template and a provider's own preamble add to the text that we send.
TOKENS_PER_MESSAGE = 16
TOKENS_PER_CALL = 256


@dataclass(frozen=True, kw_only=True)
class Price:
    """USD per token in and out, and per request: the highest that may be charged."""

    prompt: Decimal
    completion: Decimal
    request: Decimal = Decimal(0)

    @classmethod
    def stated(cls, text: str) -> Price:
        """Parse `IN/OUT` in USD per million tokens. Raises ValueError."""
        try:
            prompt, completion = (Decimal(part) / MILLION for part in text.split("/"))
        except (ValueError, InvalidOperation):
            raise ValueError(f"{text!r} is not of the form 0.1/0.5") from None
        if not (prompt.is_finite() and completion.is_finite() and min(prompt, completion) >= 0):
            raise ValueError(f"{text!r} is not two amounts")
        return cls(prompt=prompt, completion=completion)

    @classmethod
    def listed(cls, pricings: Sequence[Mapping[str, Any]]) -> Price | None:
        """The highest of several `pricing` objects of OpenRouter, their overrides included.

        None when one of them lacks an amount or has a negative one (OpenRouter's mark for "varies").
        """
        found = [row for pricing in pricings for row in _variants(pricing)]
        try:
            rows = [
                (
                    max(_amount(row["prompt"]), _amount(row.get("input_cache_write"))),
                    max(_amount(row["completion"]), _amount(row.get("internal_reasoning"))),
                    _amount(row.get("request")),
                )
                for row in found
            ]
        except (KeyError, TypeError, ValueError, InvalidOperation):
            return None
        if not rows:
            return None
        prompt, completion, request = (max(column) for column in zip(*rows, strict=True))
        return cls(prompt=prompt, completion=completion, request=request)

    def worst(self, messages: Sequence[Message], max_tokens: int) -> Decimal:
        """The most that a call can cost: a token of text is at least one byte of it."""
        tokens = TOKENS_PER_CALL + sum(
            TOKENS_PER_MESSAGE + len(message.content.encode()) for message in messages
        )
        return self.prompt * tokens + self.completion * max_tokens + self.request

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """The cost of this many tokens."""
        return self.prompt * prompt_tokens + self.completion * completion_tokens + self.request


def _variants(pricing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plain prices, and those with each override (by prompt size or hour) in place."""
    overrides = pricing.get("overrides") or []
    return [{**pricing}, *({**pricing, **override} for override in overrides)]


def _amount(text: object) -> Decimal:
    amount = Decimal(str(text or "0"))
    if amount < 0:
        raise ValueError(text)
    return amount


def money(value: object) -> Decimal | None:
    """Return an amount from a JSON response; None if it is not an amount."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
