"""The HTTP face: keys, rights and quota, then the script's word, then the call itself."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.system.emulator import faults
from tests.system.emulator.account import Caller, Quota
from tests.system.emulator.answers import Answers, gone
from tests.system.emulator.hosts import CENTRES
from tests.system.emulator.pods import Pods
from tests.system.emulator.problems import Problem, response
from tests.system.emulator.routes import Call, Route, routes
from tests.system.emulator.site import Site
from tests.system.emulator.stream import stream

ACTION_RIGHTS = {"terminate": "delete", "start": "start", "restart": "start"}
RIGHTS = {"get": "get", "logs": "get", "delete": "delete"}


@dataclass
class Seen:
    """A request as it came, and the status it was answered with; None where it got no answer."""

    time: float
    operation: str
    method: str
    path: str
    user_agent: str
    caller: str = ""
    body: Any = None
    status: int | None = None


class App:
    def __init__(self, site: Site, pods: Pods, quota: Quota) -> None:
        self._site = site
        self._quota = quota
        self._pods = pods
        self.seen: list[Seen] = []
        self.web = web.Application(middlewares=[_unknown])
        for route in routes(site, pods):
            self.web.router.add_route(route.method, route.path, self._handler(route))

    def _handler(self, route: Route) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            seen = Seen(
                self._site.clock.now(),
                route.operation,
                request.method,
                request.path_qs,
                request.headers.get("User-Agent", ""),
            )
            self.seen.append(seen)
            headers: dict[str, str] = {}
            try:
                answer = await self._answer(route, request, seen, headers)
            except Problem as problem:
                answer = response(problem)
            if not answer.prepared:
                answer.headers.update(headers)
            if answer.prepared or not gone(request):
                seen.status = answer.status
            return answer

        return handle

    async def _answer(
        self, route: Route, request: web.Request, seen: Seen, headers: dict[str, str]
    ) -> web.StreamResponse:
        caller = self._site.account.identify(request.headers.get("Authorization"))
        seen.caller = caller.kind
        headers |= self._quota.count()
        seen.body = await _document(request)
        key = request.match_info.get("id", "")
        self._allow(route, caller, key, seen.body)
        facts = self._facts(route, caller, key, seen.body)
        answers = Answers(self._site.script.answers(route.operation, facts))
        early = await answers.before(request)
        if early is not None:
            return early
        if route.operation == "logs":
            return await stream(request, self._pods.find(key), answers, headers)
        status, payload = route.do(Call(key, request.query, seen.body, facts))
        instead = await answers.after(request, payload)
        if instead is not None:
            return instead
        if payload is None:
            return web.Response(status=status)
        return web.json_response(payload, status=status)

    def _allow(self, route: Route, caller: Caller, key: str, body: Any) -> None:
        """Rights come before anything else: whoever may not is not told what would have been."""
        if caller.kind == "readonly" and route.method != "GET":
            raise Problem(403, "access denied")
        if caller.kind != "pod":
            return
        needed = RIGHTS.get(route.operation)
        if route.operation == "action":
            wanted = body.get("action") if isinstance(body, dict) else None
            needed = ACTION_RIGHTS.get(str(wanted), "stop")
        own = self._pods[caller.pod]
        limited = own.trouble(faults.PodKey)
        may = limited.may if limited else self._site.pod_rights
        if key != own.id or needed not in may:
            raise Problem(limited.status if limited else 403, "access denied")

    def _facts(self, route: Route, caller: Caller, key: str, body: Any) -> dict[str, Any]:
        """What a fault's ``when`` may ask about this request."""
        facts: dict[str, Any] = {"key": "pod" if caller.kind == "pod" else "account"}
        pod = self._pods.all.get(key)
        if pod is not None:
            facts |= {"name": pod.name, "gpu": pod.gpu, "count": pod.count}
            facts |= {"centres": [pod.host.centre], "disk": pod.settings.disk}
        if isinstance(body, dict):
            facts |= {key: body[key] for key in ("name", "disk", "action") if key in body}
        if isinstance(body, dict) and route.operation == "create":
            gpu = body.get("gpu")
            if isinstance(gpu, dict):
                facts |= {"gpu": gpu.get("id"), "count": gpu.get("count") or 0}
            facts["centres"] = body.get("dataCenterIds") or list(CENTRES)
        return facts


@web.middleware
async def _unknown(request: web.Request, handler: Any) -> web.StreamResponse:
    """The router's own refusals, in the API's words."""
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPMethodNotAllowed as fault:
        allowed = {"Allow": ", ".join(sorted(fault.allowed_methods))}
        return response(Problem(405, "The requested method is not allowed.", headers=allowed))
    except web.HTTPNotFound:
        return response(Problem(404, "resource not found"))
    return answer


async def _document(request: web.Request) -> Any:
    if request.method not in {"POST", "PUT", "PATCH"}:
        return None
    try:
        document = json.loads(await request.read(), parse_constant=_no_number)
        # A lone half of a surrogate pair is no text that could be sent on.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Problem(400, "request body is not valid JSON") from None
    return document


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON")
