"""One request to the API: headers, retries, and a fault for every way it can fail.

The key is sent in one header and never shown: it is removed from every message of the server.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from launcher.errors import (
    ApiUnavailable,
    BadRequest,
    KeyForbidden,
    KeyRejected,
    NoCapacity,
    PaymentRequired,
    WrongState,
)
from launcher.runpod_api.answers import Problem
from trainer.contract.command.errors import Fault, NotFound, Usage

if TYPE_CHECKING:
    import httpx2

TRIES = 6
TIMEOUT = 30.0
LONGEST_WAIT = 120.0
SHOWN = 500
USER_AGENT = "sft-launch"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

# A lack of capacity has no error code, only prose; these phrases have been seen.
CAPACITY = re.compile(
    r"no longer any instances|instances? (currently )?available|no (available )?instances"
    r"|not enough free gpus|request(ed)? specifications|could not be placed"
    r"|(no|not enough|out of|insufficient) (gpu )?capacity",
    re.IGNORECASE,
)
HINTS = "check RUNPOD_API_KEY, or make a key at RunPod under Settings > API Keys"


Waiting = Callable[[str], AbstractContextManager[object]]
"""Inside what it returns, sleeps report that the named thing is waited for."""


class OutcomeUnknown(ApiUnavailable):
    """The request may or may not have been carried out."""


class Http:
    """``send`` and ``stream`` with the key; ``sleep`` takes seconds, ``draw`` gives 0 <= x < 1."""

    def __init__(
        self,
        key: str,
        base_url: str,
        *,
        sleep: Callable[[float], None],
        draw: Callable[[], float],
        waiting: Waiting = nullcontext,
    ) -> None:
        import httpx2

        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Usage(
                f"RUNPOD_API_BASE_URL is not a URL: {base_url}",
                "unset it to use RunPod",
            )
        if not key or not key.isascii() or not key.isprintable():
            raise KeyRejected("the RunPod key is empty or has invalid characters", HINTS)
        self.base_url = base_url.rstrip("/")
        self.sleep = sleep
        self.draw = draw
        self.waiting = waiting
        self.answered_at = ""  # the Date header of the newest answer
        self._key = key
        self._client = httpx2.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            timeout=TIMEOUT,
            trust_env=parts.hostname not in LOOPBACK,
        )

    def __repr__(self) -> str:
        return f"Http({self.base_url!r})"

    def close(self) -> None:
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        safe: bool,
        tries: int = TRIES,
    ) -> Mapping[str, Any]:
        """Send and return the answer's JSON object, empty for an empty answer.

        ``safe`` requests are repeated on server faults and broken connections. Others only where they
        certainly were not carried out (never connected, 429); else ``OutcomeUnknown`` is raised.
        """
        with self.waiting(f"RunPod's answer to {method} {path}"):
            for attempt in range(tries):
                try:
                    return self._once(method, path, query, body, safe=safe)
                except _Retry as retry:
                    if attempt == tries - 1 or retry.wait > LONGEST_WAIT:
                        raise retry.fault from None
                    self.sleep(self.pause(attempt, retry.wait))
        raise AssertionError

    def pause(self, attempt: int, told: float = 0.0) -> float:
        """Seconds to wait before try ``attempt + 2``: at least ``told``, plus a random part."""
        return max(told, 2.0 ** min(attempt, 5) / 2) + self.draw() * 2.0 ** min(attempt, 5) / 2

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, object] | None,
        *,
        safe: bool,
    ) -> Mapping[str, Any]:
        import httpx2

        what = f"{method} {path}"
        try:
            response = self._client.request(
                method, self.base_url + path, params=query, json=body, headers=self._auth()
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Retry(self._unreachable(what, error)) from None
        except httpx2.TransportError as error:
            fault = self._unreachable(what, error)
            if safe:
                raise _Retry(fault) from None
            raise OutcomeUnknown(fault.cause, fault.hint) from None
        self.answered_at = response.headers.get("Date", "")
        self._check(what, response, safe=safe)
        if not response.content.strip():
            return {}
        try:
            found = response.json()
            return found if isinstance(found, dict) else {}
        except (ValueError, RecursionError):
            fault = ApiUnavailable(
                f"{what}: the answer is not JSON: {self._clean(response.text)}",
                f"check that {self.base_url} is RunPod's API",
            )
            raise (fault if safe else OutcomeUnknown(fault.cause, fault.hint)) from None

    @contextmanager
    def stream(
        self, path: str, *, query: Mapping[str, str | int], last_id: str, quiet: float
    ) -> Iterator[Iterator[str]]:
        """Open an event stream once and give its lines.

        Raises ``Dropped`` when it cannot be opened for now, breaks, or is silent for ``quiet`` seconds.
        """
        import httpx2

        headers = {**self._auth(), "Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = httpx2.Timeout(TIMEOUT, read=quiet)
        try:
            with self._client.stream(
                "GET", self.base_url + path, params=query, headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    response.read()
                    self._check(f"GET {path}", response, safe=True)
                yield response.iter_lines()
        except httpx2.ReadTimeout:
            raise Dropped(silent=True) from None
        except httpx2.TransportError:
            raise Dropped from None
        except _Retry as retry:
            raise Dropped(wait=retry.wait) from None

    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _clean(self, text: str) -> str:
        return " ".join(text.replace(self._key, "***").split())[:SHOWN]

    def _unreachable(self, what: str, error: Exception) -> ApiUnavailable:
        said = self._clean(str(error)) or type(error).__name__
        return ApiUnavailable(
            f"{what}: {self.base_url} does not answer: {said}", "check the network, then try again"
        )

    def _check(self, what: str, response: "httpx2.Response", *, safe: bool) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        detail, faults = self._said(response)
        text = f"{what}: {status}: {detail}"
        if status == 429:
            wait = _seconds(response.headers.get("Retry-After", ""))
            hint = f"the rate limit ends in {wait:.0f} s" if wait else "wait a minute"
            raise _Retry(ApiUnavailable(text, hint), wait)
        if status >= 500:
            fault = ApiUnavailable(text, "RunPod reports a server error; try again")
            if safe:
                raise _Retry(fault, _seconds(response.headers.get("Retry-After", "")))
            raise OutcomeUnknown(fault.cause, fault.hint)
        raise _fault(status, text, detail, faults)

    def _said(self, response: "httpx2.Response") -> tuple[str, list[str]]:
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            problem = Problem()
        faults = [self._clean(str(fault)) for fault in problem.errors]
        detail = problem.detail or problem.title or response.text
        return self._clean(detail) or "no reason given", faults


class Dropped(Exception):  # noqa: N818 - not an error: streams end, and are opened again
    """A stream is over. ``silent``: it was open and nothing came; ``wait``: seconds until the next try, from the API."""

    def __init__(self, *, silent: bool = False, wait: float = 0.0) -> None:
        super().__init__()
        self.silent = silent
        self.wait = wait


class _Retry(Exception):  # noqa: N818 - a detour inside this file
    def __init__(self, fault: Fault, wait: float = 0.0) -> None:
        super().__init__()
        self.fault = fault
        self.wait = wait


def _seconds(header: str) -> float:
    return float(header) if re.fullmatch(r"\d{1,9}(\.\d+)?", header.strip()) else 0.0


def _fault(status: int, text: str, detail: str, faults: list[str]) -> Fault:
    if status == 400 and CAPACITY.search(detail):
        return NoCapacity(text, "try another card or another data center, or try later")
    if status == 401:
        return KeyRejected(text, HINTS)
    if status == 402:
        return PaymentRequired(text, "add credit at RunPod under Billing")
    if status == 403:
        return KeyForbidden(text, "give the key rights to Pods, or use another key")
    if status == 404:
        return NotFound(text)
    if status == 409:
        return WrongState(text, "see its state in RunPod's console, then try again")
    if status in {400, 422}:
        return BadRequest(
            text,
            "the same request would fail again; show it with: launch train --dry-run --verbose",
            faults=faults,
            status=status,
        )
    return ApiUnavailable(text, "check that RUNPOD_API_BASE_URL is RunPod's API")
