"""Pulling a pod's image, told line by line in its system log."""

import time

from docker.utils import parse_repository_tag

from tests.system.emulator.pod import Pod
from tests.system.emulator.site import Site

MEGABYTE = 1 << 20


class PullFailed(Exception):
    """As the engine words it."""


class Pulling:
    def __init__(self, site: Site, pod: Pod) -> None:
        self._site = site
        self._pod = pod

    def pretend(self, step: int, steps: int) -> None:
        """A line of a pull that takes long."""
        size = 900 * MEGABYTE
        part = size * step // steps
        self._pod.log.system(f"0123456789ab: Downloading {part}B/{size}B")

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
