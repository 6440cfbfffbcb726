"""Pulling a pod's image, told line by line in its system log."""

import itertools
import time
from collections.abc import Callable

import docker.errors
from docker.utils import parse_repository_tag

from tests.system.emulator import faults
from tests.system.emulator.pod import Pod
from tests.system.emulator.site import Site

MEGABYTE = 1 << 20
STEPS = 5
PULL_AGAIN = 2.0


class PullFailed(Exception):
    """As the engine words it."""


class Pulling:
    """Brings a pod's image here. `rest` waits so many seconds, less when the pod ends."""

    def __init__(self, site: Site, pod: Pod, *, rest: Callable[[float], None]) -> None:
        self._site = site
        self._pod = pod
        self._rest = rest

    def until_here(self, *, first: bool, ended: Callable[[], bool]) -> bool:
        """Tries for as long as the pod lives; False where that ended first.

        Only the `first` pull of a pod is scripted: a host keeps what it has pulled.
        """
        slow = self._pod.trouble(faults.SlowPull) if first else None
        bad = self._pod.trouble(faults.PullError) if first else None
        for attempt in itertools.count(1):
            for step in range(STEPS if slow else 0):
                self.pretend(step)
                self._rest(slow.seconds / STEPS if slow else 0.0)
            if ended():
                break
            try:
                if bad and (bad.attempts is None or attempt <= bad.attempts):
                    raise PullFailed(bad.line)
                self.pull()
                return not ended()
            except (PullFailed, docker.errors.APIError) as fault:
                self._pod.log.system(f"error pulling image: {fault}")
                self._rest(PULL_AGAIN)
        return False

    def pretend(self, step: int) -> None:
        """A line of a pull that takes long."""
        size = 900 * MEGABYTE
        self._pod.log.system(f"0123456789ab: Downloading {size * step // STEPS}B/{size}B")

    def pull(self) -> None:
        """Pulls from the image's registry, with the credential the pod names and no other.

        Raises:
            PullFailed: the registry or the engine refused.
        """
        pod = self._pod
        login: dict[str, str] = {}
        if pod.settings.registry in self._site.account.registries:
            stored = self._site.account.registries[pod.settings.registry]
            login = {"username": stored.username, "password": stored.password}
        repository, tag = parse_repository_tag(pod.settings.image)
        pod.log.system(f"pulling image {pod.settings.image}")
        told: dict[str, str] = {}
        shown = 0.0
        for line in self._site.engine.client.api.pull(
            repository, tag=tag or "latest", stream=True, decode=True, auth_config=login
        ):
            if "error" in line:
                raise PullFailed(line["error"])
            layer, status = line.get("id", ""), line.get("status", "")
            progress = line.get("progressDetail") or {}
            if told.get(layer) == status and (not progress or time.monotonic() - shown < 1):
                continue
            told[layer], shown = status, time.monotonic()
            amount = f" {progress['current']}B/{progress['total']}B" if "total" in progress else ""
            pod.log.system(f"{layer}: {status}{amount}" if layer else status)
