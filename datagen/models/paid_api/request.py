"""What is sent for one reply, and the key under which its answer is kept. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datagen.models.paid_api.prices import MILLION

if TYPE_CHECKING:
    from datagen.episode import Message
    from datagen.models.paid_api.prices import Price
    from datagen.models.paid_api.settings import TeacherSettings

SESSION_LIMIT = 128  # characters that OpenRouter takes


def sampling(settings: TeacherSettings) -> dict[str, Any]:
    """The settings that change how a model answers, as they are sent."""
    found: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
    }
    effort = settings.reasoning_effort
    if effort and settings.at_openrouter:
        found["reasoning"] = {"effort": effort}
    elif effort:
        found["reasoning_effort"] = effort
    if settings.at_openrouter:
        found["provider"] = _routing(settings)
    return found


def _routing(settings: TeacherSettings) -> dict[str, Any]:
    """Which of OpenRouter's providers may answer."""
    found: dict[str, Any] = {"require_parameters": True}
    if settings.enforce_distillable:
        found["enforce_distillable_text"] = True
    if providers := _names(settings.providers):
        found |= {"only": providers, "order": providers}
    if quantizations := _names(settings.quantizations):
        found["quantizations"] = quantizations
    return found


def body(
    settings: TeacherSettings, model: str, messages: Sequence[Message], session: str
) -> dict[str, Any]:
    """The JSON body of the request."""
    found = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        **sampling(settings),
    }
    if settings.at_openrouter:
        short = len(session) <= SESSION_LIMIT
        found["session_id"] = session if short else hashlib.sha256(session.encode()).hexdigest()
    return found


def with_price_limit(body: dict[str, Any], price: Price) -> dict[str, Any]:
    """The same request, to be answered by no provider dearer than the budget reckons with."""
    ceiling = {
        "prompt": float(price.prompt * MILLION),
        "completion": float(price.completion * MILLION),
    }
    return body | {"provider": body["provider"] | {"max_price": ceiling}}


def key(base_url: str, session: str, body: dict[str, Any]) -> tuple[str, int]:
    """(SHA-256 over all that changes an answer, number of the turn from 0).

    Prices and limits are left out: they change from day to day and the answers stay paid for.
    """
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    parts = {"base_url": base_url, "session": session, "turn": turn, **body}
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest(), turn


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
