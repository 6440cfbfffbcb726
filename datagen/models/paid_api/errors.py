"""What a failed request means: try again, give up this call, or end the run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal

Kind = Literal["retry", "refused", "fatal", "key", "budget"]

# OpenRouter's message when the key's limit is used up; some answers have it with a 403.
KEY_LIMIT = "key limit exceeded"
# A 402 that passes: what is in flight fills the part of the credits that may be in flight at once.
IN_FLIGHT_LIMIT = "openrouter_in_flight_budget"
THROTTLES = (429, 503, 529)
TRANSIENT = (408, 409, 425)
REFUSED_REQUEST = (400, 403, 413, 422)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a request has no answer.

    "retry": may work later, after `wait` seconds if the API sets them. "refused": the API does
    not take this request, others may pass. "fatal": it takes none like it (model, routing). "key": it
    does not know the key. "budget": there is no money behind the key. `throttled`: it has too much to do. `cost` in USD is what
    was still charged; None if unknown: the worst case is assumed.
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
    if status == 402 or (status == 403 and KEY_LIMIT in cause.lower()):
        return Failure(kind="budget", cause=cause)
    if status in REFUSED_REQUEST:
        return Failure(kind="refused", cause=cause)
    if status in TRANSIENT or status == 429 or status >= 500:
        return Failure(kind="retry", cause=cause, throttled=status in THROTTLES, wait=wait)
    return Failure(kind="key" if status == 401 else "fatal", cause=cause)


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
    return " ".join(text.split())[:300]


def _detail(body: object, part: str, name: str) -> object:
    """What `error.PART.NAME` holds in an error body; None if it is missing."""
    found = (error_in(body) or {}).get(part)
    return found.get(name) if isinstance(found, Mapping) else None
