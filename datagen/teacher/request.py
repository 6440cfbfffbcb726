"""What is sent for one reply, and the key under which its answer is kept. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datagen.teacher.prices import MILLION

if TYPE_CHECKING:
    from datagen.episode import Message
    from datagen.teacher.prices import Price
    from datagen.teacher.settings import TeacherSettings

SESSION_LIMIT = 128


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
    settings: TeacherSettings,
    model: str,
    messages: Sequence[Message],
    session: str,
    *,
    price: Price | None,
) -> dict[str, Any]:
    """The JSON body of the request.

    `price` is the highest that the budget reckons with: dearer providers are kept out.
    """
    found = {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        **sampling(settings),
    }
    if settings.at_openrouter:
        found["session_id"] = _short(session)
        if price is not None:
            ceiling = {
                "prompt": float(price.prompt * MILLION),
                "completion": float(price.completion * MILLION),
            }
            found["provider"] = found["provider"] | {"max_price": ceiling}
    return found


def key(
    settings: TeacherSettings, model: str, messages: Sequence[Message], session: str
) -> tuple[str, int]:
    """(SHA-256 over all that changes an answer, number of the turn from 0).

    Prices and limits are left out: they change from day to day and the answers stay paid for.
    """
    turn = sum(message.role == "assistant" for message in messages)
    parts = {
        "base_url": settings.base_url,
        "session": session,
        "turn": turn,
        **body(settings, model, messages, session, price=None),
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest(), turn


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _short(session: str) -> str:
    """OpenRouter takes at most 128 characters."""
    if len(session) <= SESSION_LIMIT:
        return session
    return hashlib.sha256(session.encode()).hexdigest()
