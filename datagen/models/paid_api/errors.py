"""What a failed request means: try again, give up this call, or end the run. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal

Kind = Literal["retry", "flagged", "refused", "fatal", "key", "forbidden", "budget"]

# OpenRouter sends 403 for the prompt (moderation, guardrail), for the key (permission) and for money. Its pages
# "Errors and Debugging", "Guardrails", "Sensitive Info" and "Workspace Budgets" say how they differ.
FLAGGED_METADATA = frozenset({"reasons", "flagged_input", "patterns"})
FLAGGED_TYPES = frozenset(
    {"content_policy_violation", "refusal", "context_length_exceeded", "string_too_long"}
)
FLAGGED_MESSAGE = re.compile(r"request blocked|blocked pii", re.IGNORECASE)
SPENT_MESSAGE = re.compile(r"(key limit|budget\b.*) exceeded", re.IGNORECASE)
# A 402 that passes: what is in flight fills the part of the credits that may be in flight at once.
IN_FLIGHT_LIMIT = "openrouter_in_flight_budget"
THROTTLES = (429, 503, 529)
TRANSIENT = (408, 409, 425)
REFUSED_REQUEST = (400, 413, 422)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a request has no answer.

    "retry": may work later, after `wait` seconds if the API sets them. "flagged": the text of this conversation is
    refused (moderation, guardrail, length), others pass. "refused": this request is refused, others may pass. "fatal":
    each request like it is (model, routing). "key": the API does not know the key. "forbidden": the key may not make
    this call. "budget": there is no money behind the key. `throttled`: the API has too much to do. `cost` in USD is
    what was still charged; None if unknown: the worst case is assumed.
    """

    kind: Kind
    cause: str
    throttled: bool = False
    wait: float | None = None
    cost: Decimal | None = Decimal(0)


def failure_of_status(
    status: int, body: object, headers: Mapping[str, str], *, now: float
) -> Failure:
    """The failure that an HTTP status, or the code in an error body, stands for.

    `now` in Unix seconds, for a Retry-After that is a date.
    """
    cause = f"HTTP {status}: {error_message(body)}"
    asked = _detail(body, "availability", "retry_after")
    wait = retry_after(headers.get("retry-after"), now=now)
    if wait is None and isinstance(asked, int | float) and asked > 0:
        wait = float(asked)
    if status == 402 and _detail(body, "metadata", "limit_source") == IN_FLIGHT_LIMIT:
        return Failure(kind="retry", cause=cause, throttled=True, wait=wait)
    if status == 402 or (status == 403 and SPENT_MESSAGE.search(cause)):
        return Failure(kind="budget", cause=cause)
    if status in (*REFUSED_REQUEST, 403) and _is_flagged(body):
        return Failure(kind="flagged", cause=cause)
    if status in REFUSED_REQUEST:
        return Failure(kind="refused", cause=cause)
    if status == 403:
        return Failure(kind=_kind_of_403(body), cause=cause)
    if status in TRANSIENT or status == 429 or status >= 500:
        return Failure(kind="retry", cause=cause, throttled=status in THROTTLES, wait=wait)
    return Failure(kind="key" if status == 401 else "fatal", cause=cause)


def _is_flagged(body: object) -> bool:
    """Whether an error is about the text of the conversation, as OpenRouter's documentation has it."""
    error = error_in(body) or {}
    metadata = error.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    return bool(
        FLAGGED_METADATA & {*named}
        or _is_text_in(named.get("error_type"), FLAGGED_TYPES)
        or FLAGGED_MESSAGE.search(str(error.get("message")))
    )


def _kind_of_403(body: object) -> Kind:
    """A 403 that does not name the prompt: of a provider, of the model's region, else about the key."""
    if isinstance(_detail(body, "metadata", "provider_name"), str):
        return "refused"
    return "fatal" if _detail(body, "availability", "code") else "forbidden"


def _is_text_in(value: object, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names


def retry_after(text: str | None, *, now: float) -> float | None:
    """Seconds to wait, from a Retry-After header: a number, or a date. None without a usable value."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except ValueError:
            return None
    return seconds if 0 < seconds < float("inf") else None


def error_in(body: object) -> Mapping[str, Any] | None:
    """The `error` object of an answer, at its top or in its first choice."""
    if not isinstance(body, Mapping):
        return None
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for holder in (body, first):
        if isinstance(holder, Mapping) and isinstance(holder.get("error"), Mapping):
            found: Mapping[str, Any] = holder["error"]
            return found
    return None


def error_message(body: object) -> str:
    """The message of an error body in one line of at most 300 characters."""
    error = error_in(body)
    text = str(error.get("message") if error else body or "empty body")
    if isinstance(raw := _detail(body, "metadata", "raw"), str):
        text += f" ({raw})"
    for name in ("reasons", "patterns"):
        if isinstance(found := _detail(body, "metadata", name), list) and found:
            text += f" ({', '.join(map(str, found))})"
    return " ".join(text.split())[:300]


def _detail(body: object, part: str, name: str) -> object:
    """What `error.PART.NAME` holds in an error body; None if it is missing."""
    found = (error_in(body) or {}).get(part)
    return found.get(name) if isinstance(found, Mapping) else None
