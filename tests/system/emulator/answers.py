"""What the script makes of one request: ahead of it, instead of it, and to its reply."""

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

from aiohttp import web

from tests.system.emulator import faults
from tests.system.emulator.problems import NO_CAPACITY, Problem, response
from tests.system.emulator.validate import integer

LOST = "upstream request failed"
HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
ODD = {"actions": ["start", "terminate"], "runtime": {}, "template": "9x4m2p7v"}
Kind = TypeVar("Kind", bound=faults.Answer)


class Answers:
    """The faults drawn for one request, at most one of each sort."""

    def __init__(self, drawn: Iterable[faults.Answer]) -> None:
        self._drawn = list(drawn)

    def get(self, kind: type[Kind]) -> Kind | None:
        return next((one for one in self._drawn if isinstance(one, kind)), None)

    async def before(self, request: web.Request) -> web.StreamResponse | None:
        """Waits, refuses or hangs up, as scripted; None where the request may go on."""
        if delay := self.get(faults.Delay):
            await asyncio.sleep(delay.seconds)
        if self.get(faults.Drop):
            return await _hang_up(request)
        if self.get(faults.Capacity):
            return response(Problem(400, NO_CAPACITY))
        refusal = self.get(faults.Refuse)
        if refusal is None:
            return None
        after = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        if refusal.html:
            page = HTML.format(refusal.status)
            return web.Response(
                status=refusal.status, text=page, content_type="text/html", headers=after
            )
        told = refusal.detail or "request refused"
        return response(Problem(refusal.status, told, headers=after))

    async def after(self, request: web.Request, payload: Any) -> web.StreamResponse | None:
        """Changes `payload` as scripted; an answer where the true one is lost."""
        if self.get(faults.OddCreate):
            payload |= ODD
        if page := self.get(faults.Paginate):
            _paginate(payload, page.size, integer(request.query, "cursor", 0, least=0, most=10**6))
        loss = self.get(faults.LoseReply)
        if loss is None:
            return None
        if loss.how == "500":
            return response(Problem(500, LOST))
        return await _hang_up(request, wait=loss.how == "hang")


async def _hang_up(request: web.Request, *, wait: bool = False) -> web.StreamResponse:
    """Ends the connection without a word, at once or when the client gives up."""
    while wait and not gone(request):  # noqa: ASYNC110 - aiohttp has no event for it
        await asyncio.sleep(0.05)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _paginate(payload: dict[str, Any], size: int, start: int) -> None:
    [(key, rows)] = list(payload.items())
    payload[key] = rows[start : start + size]
    more = start + size < len(rows)
    payload["pagination"] = {
        "hasNextPage": more,
        "nextCursor": str(start + size) if more else None,
    }
