"""The emulator as one object: ``with Emulator(engine) as runpod: runpod.url, runpod.keys.account``."""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self

import docker.errors
from aiohttp import web

from tests.system.emulator import faults, script
from tests.system.emulator.account import Keys, Quota
from tests.system.emulator.admin import Admin
from tests.system.emulator.app import App, Seen
from tests.system.emulator.billing import Billing
from tests.system.emulator.catalog import Catalog
from tests.system.emulator.clock import Clock
from tests.system.emulator.hosts import Host
from tests.system.emulator.pod import Pod
from tests.system.emulator.pods import Pods
from tests.system.emulator.site import NAME, OWNER, Site
from tests.system.engine import Engine

LIMITS = {"minute": 600, "hour": 30_000, "day": 500_000}
ALL_RIGHTS: frozenset[faults.Right] = frozenset({"get", "stop", "start", "delete"})


class Emulator:
    """RunPod's REST v2 on the loopback; its pods are containers of `engine`.

    Args:
        engine: where the pods run, and whose registry serves their images or not.
        hosts: the machines there are to rent; by default a few of each card.
        billing_lag: seconds of `clock` until a charge shows in the billing records.
        grace: seconds between SIGTERM and SIGKILL when a pod is stopped.
        limits: requests a minute, an hour, a day.
        pod_rights: what a pod's own key may do to the pod.
        port: on the loopback and on the bridge; 0 chooses a free one.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock | None = None,
        hosts: Iterable[Host] | None = None,
        billing_lag: float = 300.0,
        grace: float = 5.0,
        limits: Mapping[str, int] = LIMITS,
        pod_rights: frozenset[faults.Right] = ALL_RIGHTS,
        port: int = 0,
    ) -> None:
        self.clock = clock or Clock()
        self.billing = Billing(self.clock, lag=billing_lag)
        self.catalog = Catalog(hosts)
        self._folder = tempfile.TemporaryDirectory(prefix="runpod-emulator-")
        self._site = Site(
            engine,
            self.clock,
            self.catalog,
            self.billing,
            Path(self._folder.name),
            labels={OWNER: str(os.getpid()), NAME: secrets.token_hex(8)},
            grace=grace,
            pod_rights=pod_rights,
        )
        self.quota = Quota(self.clock, limits)
        self.pods = Pods(self._site)
        self._app = App(self._site, self.pods, self.quota)
        Admin(self._site, self.pods, self._app)
        self._thread = Thread(target=self._site.loop.run_forever, daemon=True)
        self._runner = web.AppRunner(self._app.web, access_log=None, shutdown_timeout=0.2)
        self._port = port
        self.url = ""
        """For ``RUNPOD_API_BASE_URL`` of clients on this machine."""

    @property
    def keys(self) -> Keys:
        return self._site.account.keys

    @property
    def requests(self) -> list[Seen]:
        """Every API request so far, in order of their answers."""
        return self._app.seen

    @property
    def inner_url(self) -> str:
        """The same API, for a client inside a container."""
        return self._site.inner_url

    def script(self, *faults_to_come: faults.Fault | Mapping[str, Any]) -> None:
        """Adds faults to the script; those for pods strike pods made from now on.

        Raises:
            ValueError: no such fault.
        """
        self._site.script.add([script.read(one) for one in faults_to_come])

    def strike(self, pod: Pod, trouble: faults.Trouble | Mapping[str, Any]) -> None:
        """Lets a trouble befall a pod there is, ``after`` seconds from now."""
        self.pods.strike(pod, script.read(trouble))

    def __enter__(self) -> Self:
        sweep(self._site.engine)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._site.loop).result(10)
        return self

    async def _serve(self) -> None:
        await self._runner.setup()
        gateway = self._site.engine.gateway()
        loopback = _bound("127.0.0.1", self._port)
        port = loopback.getsockname()[1]
        for listening in (loopback, _bound(gateway, port)):
            await web.SockSite(self._runner, listening).start()
        self.url = f"http://127.0.0.1:{port}"
        self._site.inner_url = f"http://{gateway}:{port}"

    def __exit__(self, *_: object) -> None:
        loop = self._site.loop
        for pod in self.pods:
            self.pods.release(pod)
        for pod in self.pods.all.values():
            pod.life.thread.join(60)
        asyncio.run_coroutine_threadsafe(self._close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(10)
        loop.close()
        own = self._site.labels[NAME]
        _remove(self._site.engine, f"{NAME}={own}", lambda _: True)
        self._folder.cleanup()

    async def _close(self) -> None:
        await self._runner.cleanup()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


def sweep(engine: Engine) -> int:
    """Removes what emulators left behind whose process is gone. Returns how many containers."""
    return _remove(engine, OWNER, _dead)


def _remove(engine: Engine, label: str, meant: Callable[[Mapping[str, str]], bool]) -> int:
    client, labelled = engine.client, {"filters": {"label": label}}
    containers = [one for one in client.containers.list(all=True, **labelled) if meant(one.labels)]
    for one in containers:
        with suppress(docker.errors.APIError):
            one.remove(force=True, v=True)
    for volume in client.volumes.list(**labelled):
        if meant(volume.attrs["Labels"]):
            with suppress(docker.errors.APIError):
                volume.remove(force=True)
    return len(containers)


def _dead(labels: Mapping[str, str]) -> bool:
    try:
        os.kill(int(labels[OWNER]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _bound(host: str, port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    return listening
