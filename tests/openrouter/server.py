"""The fake as a server in a thread: `with OpenRouter() as fake: ... fake.url`."""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Self

from aiohttp import web

from tests.openrouter.billing import Bill, Charge
from tests.openrouter.catalog import MODELS, Model
from tests.openrouter.chat import Brain, Generation, Refused, checked, generate, plain_brain, route
from tests.openrouter.mishaps import ANSWERED, WITHOUT_TEXT, Mishap, Script

KEY = "sk-or-v1-fake"
REMEMBERED = 1000


class OpenRouter:
    """`latency` in seconds for each answer; `capacity`: with more than that at once it says 429."""

    def __init__(
        self,
        *,
        brain: Brain = plain_brain,
        latency: float = 0.0,
        capacity: int | None = None,
        models: Iterable[Model] = MODELS,
        port: int = 0,
    ) -> None:
        self.brain = brain
        self.latency = latency
        self.capacity = capacity
        self.models = {model.id: model for model in models}
        self.bill = Bill()
        self.script = Script()
        self.key = KEY
        self.label = "sk-or-v1-fak..."
        self.requests: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._port = port
        self._chance = random.Random(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def will(self, *mishaps: Mishap | None) -> None:
        """Let these happen to the next requests, None being an answer as it should be."""
        self.script.add(mishaps)

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/api/v1/chat/completions", self._chat)
        app.router.add_get("/api/v1/key", self._key)
        app.router.add_get("/api/v1/models", self._models)
        app.router.add_get("/api/v1/models/{author}/{slug}/endpoints", self._endpoints)
        app.router.add_get("/_fake/bill", self._told_bill)
        app.router.add_post("/_fake/script", self._told_script)
        self._over = asyncio.Event()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        self._over.set()
        await self._runner.cleanup()

    def _known(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.key}"

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, await request.json())
        except Refused as no:
            return _error(no.status, str(no), no.metadata)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        self.requests.append(body)
        if not self._known(request):
            raise Refused(401, "User not found.", error_type="authentication")
        model = checked(body, self.models)
        if refusal := self.bill.refusal():
            raise Refused(402, refusal[0], limit_source=refusal[1])
        if self.capacity is not None and self.at_once > self.capacity:
            raise Refused(429, "Rate limit exceeded", error_type="rate_limit_exceeded")
        mishap = self.script.next()
        if mishap and mishap.kind == "status":
            error = {"error": mishap.error()}
            return web.json_response(error, status=mishap.status, headers=mishap.headers())
        if mishap and mishap.kind == "html":
            page = "<html><h1>Bad gateway</h1></html>"
            return web.Response(text=page, status=mishap.status, content_type="text/html")
        endpoint = route(body, model, self._chance)
        reason = mishap.reason if mishap and mishap.kind == "finish" else None
        late = mishap.seconds if mishap and mishap.kind == "slow" else 0.0
        await asyncio.sleep(self.latency + late)
        instead = mishap.kind if mishap and mishap.kind in WITHOUT_TEXT else None
        made = generate(body, model, endpoint, self.brain, finish=reason, without_text=instead)
        if mishap is None or mishap.kind in ANSWERED:
            self._charge(body, made, delivered=True)
            return web.json_response(made.body)
        return await self._broken(request, body, made, mishap)

    async def _broken(
        self, request: web.Request, body: Any, made: Generation, mishap: Mishap
    ) -> web.StreamResponse:
        head = {k: v for k, v in made.body.items() if k not in {"choices", "usage"}}
        if mishap.kind == "error in 200":
            return web.json_response(head | {"error": mishap.error()})
        if mishap.kind == "no choices":
            return web.json_response(head | {"choices": None})
        if mishap.charged:
            self._charge(body, made, delivered=False)
        if mishap.kind == "garbage":
            return web.Response(text="upstream sent {", content_type="application/json")
        if mishap.kind == "hang":
            await self._over.wait()
        assert request.transport is not None
        if mishap.kind == "cut":
            half = web.StreamResponse(headers={"Content-Length": "100000"})
            await half.prepare(request)
            await half.write(b'{"id": "gen')
            request.transport.close()
            return half
        request.transport.abort()
        raise asyncio.CancelledError

    def _charge(self, body: Any, made: Generation, *, delivered: bool) -> None:
        session = body.get("session_id")
        provider = made.endpoint.provider
        now = time.monotonic()
        charge = Charge(made.id, session, body["model"], provider, made.cost, now, delivered)
        self.bill.charge(charge)

    async def _key(self, request: web.Request) -> web.Response:
        if not self._known(request):
            return _error(401, "User not found.", {})
        rest = self.bill.key_remaining
        data = {
            "label": self.label,
            "limit": None if self.bill.key_limit is None else float(self.bill.key_limit),
            "limit_remaining": None if rest is None else float(rest),
            "usage": float(self.bill.usage),
            "byok_usage": 0.0,
            "is_free_tier": False,
        }
        return web.json_response({"data": data})

    async def _models(self, request: web.Request) -> web.Response:
        only = request.query.get("distillable") == "true"
        rows = [m.row() for m in self.models.values() if m.distillable or not only]
        return web.json_response({"data": rows})

    async def _endpoints(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['author']}/{request.match_info['slug']}"
        if name not in self.models:
            return _error(404, "Model not found", {})
        rows = self.models[name].endpoint_rows()
        return web.json_response({"data": {"id": name, "endpoints": rows}})

    async def _told_bill(self, _: web.Request) -> web.Response:
        total, lost = self.bill.total, self.bill.undelivered
        return web.json_response(
            {
                "total": str(total),
                "undelivered": str(lost),
                "charges": len(self.bill.charges),
                "asked": self.asked,
                "most_at_once": self.most_at_once,
            }
        )

    async def _told_script(self, request: web.Request) -> web.Response:
        told = await request.json()
        self.will(*(Mishap(**one) if one else None for one in told.get("next", [])))
        self.script.shares += [(share, Mishap(**one)) for share, one in told.get("shares", [])]
        if "key_limit" in told:
            self.bill.key_limit = Decimal(str(told["key_limit"]))
        return web.json_response({})


def _error(status: int, message: str, metadata: dict[str, Any]) -> web.Response:
    error: dict[str, Any] = {"code": status, "message": message}
    if metadata:
        error["metadata"] = metadata
    return web.json_response({"error": error}, status=status)
