"""What a test in another process may do: script faults, move the clock, look inside.

Under ``/_emulator``, without a key, for clients on the loopback only: pods cannot reach it.
"""

import json
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from tests.system.emulator import script
from tests.system.emulator.app import App
from tests.system.emulator.hosts import Host
from tests.system.emulator.pods import Pods
from tests.system.emulator.site import Site


class Admin:
    def __init__(self, site: Site, pods: Pods, app: App) -> None:
        self._site = site
        self._pods = pods
        self._app = app
        router = app.web.router
        router.add_get("/_emulator/state", self._guard(self._state))
        router.add_post("/_emulator/script", self._guard(self._script))
        router.add_delete("/_emulator/script", self._guard(self._forget))
        router.add_post("/_emulator/clock", self._guard(self._clock))
        router.add_put("/_emulator/hosts", self._guard(self._hosts))
        router.add_post("/_emulator/pods/{id}/troubles", self._guard(self._strike))

    def _guard(self, do: Any) -> Any:
        async def handle(request: web.Request) -> web.Response:
            if not (request.remote or "").startswith("127."):
                raise web.HTTPNotFound
            try:
                told = do(request, json.loads(await request.read() or b"null"))
            except (ValidationError, ValueError, TypeError, KeyError) as fault:
                return web.json_response({"error": str(fault)}, status=422)
            return web.json_response(told)

        return handle

    def _state(self, request: web.Request, document: Any) -> dict[str, Any]:
        return {
            "now": self._site.clock.now(),
            "account_key": self._site.account.keys.account,
            "readonly_key": self._site.account.keys.readonly,
            "script": self._site.script.waiting(),
            "hosts": [asdict(host) for host in self._site.catalog.hosts],
            "requests": [asdict(seen) for seen in self._app.seen],
            "pods": {
                pod.id: {
                    "name": pod.name,
                    "status": pod.status,
                    "restarts": pod.restarts,
                    "gpu_seconds": self._site.billing.gpu_seconds(pod.id),
                    "dollars": self._site.billing.dollars(pod.id),
                    "ssh_bytes_in": sum(link.bytes_in for link in pod.links.values()),
                }
                for pod in self._pods.all.values()
            },
        }

    def _script(self, request: web.Request, document: Any) -> list[dict[str, Any]]:
        self._site.script.add([script.read(one) for one in document])
        return self._site.script.waiting()

    def _forget(self, request: web.Request, document: Any) -> list[dict[str, Any]]:
        self._site.script.clear()
        return []

    def _clock(self, request: web.Request, document: Any) -> dict[str, float]:
        self._site.clock.advance(float(document["advance"]))
        return {"now": self._site.clock.now()}

    def _hosts(self, request: web.Request, document: Any) -> int:
        self._site.catalog.hosts = [Host(**row) for row in document]
        return len(self._site.catalog.hosts)

    def _strike(self, request: web.Request, document: Any) -> str:
        pod = self._pods[request.match_info["id"]]
        self._pods.strike(pod, script.read(document))
        return pod.status
