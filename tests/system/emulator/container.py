"""The real container behind a pod: volume, process, output."""

import codecs
import shlex
from collections.abc import Callable
from threading import Thread
from typing import Any

import docker.errors
import requests

from tests.system.emulator import faults
from tests.system.emulator.gpu import nvidia_smi
from tests.system.emulator.pod import Pod
from tests.system.emulator.site import Site


class Container:
    """One container at a time; each is made anew, so that its disk is wiped, the volume kept."""

    def __init__(self, site: Site, pod: Pod) -> None:
        self._site = site
        self._pod = pod
        self._running: Any = None
        self._others: list[Any] = []
        self._followers: list[Thread] = []
        self._smi = site.folder / pod.id
        self._volume: str | None = None

    def prepare(self) -> None:
        """Makes the volume, and the card that ``nvidia-smi`` in the pod speaks of."""
        pod, volumes = self._pod, self._site.engine.client.volumes
        old = pod.trouble(faults.OldDriver)
        self._card(cuda=old.cuda if old else pod.host.cuda, busy=90)
        mounts = pod.settings.mounts
        if self._volume is not None:
            return
        if mounts.network:
            self._volume = f"runpod-net-{mounts.network[0].volumeId}"
            volumes.create(self._volume, labels=self._site.labels)
        elif mounts.persistent:
            self._volume = f"runpod-{pod.id}"
            small = pod.trouble(faults.SmallVolume)
            options = {"type": "tmpfs", "device": "tmpfs"}
            if small:
                options["o"] = f"size={small.megabytes}m"
            volumes.create(
                self._volume, driver_opts=options if small else {}, labels=self._site.labels
            )
            if small:
                self._others.append(self._keeper())

    def start(self, *, on_exit: Callable[[], None]) -> dict[int, int]:
        """Starts a new container. Returns, for each published port, where it is on the loopback."""
        pod = self._pod
        pod.log.system(f"create container {pod.settings.image}")
        container = self._make(f"runpod-{pod.id}", mounted=True, ports=list(pod.links))
        self._running = container
        container.start()
        pod.log.system("start container")
        follower = Thread(target=self._follow, args=(container, on_exit), daemon=True)
        self._followers.append(follower)
        follower.start()
        return _published(container)

    def impostor(self) -> int | None:
        """Starts a second container of the image, and returns where its port 22 is."""
        other = self._make(None, mounted=False, ports=[22])
        self._others.append(other)
        other.start()
        return _published(other).get(22)

    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._followers and self._followers[-1].is_alive():
            return None
        self._running.reload()
        state = self._running.attrs["State"]
        return None if state["Running"] else int(state["ExitCode"])

    def kill(self) -> None:
        self._running.kill()

    def idle(self) -> None:
        self._card(cuda=self._pod.host.cuda, busy=0)

    def remove(self, grace: float) -> None:
        """Stops and removes the container, if there is one, with its disk."""
        if self._running is not None:
            self._pod.log.system("stop container")
            _gone(self._running, grace)
            for follower in self._followers:
                follower.join(10)
            self._running = None
            self._followers.clear()

    def wipe(self) -> None:
        """Destroys the pod's own volume; a network volume outlives pods."""
        for other in self._others:
            _gone(other, 0)
        self._others.clear()
        if self._volume == f"runpod-{self._pod.id}":
            self._site.engine.client.volumes.get(self._volume).remove(force=True)
            self._volume = None

    def clear(self, grace: float, *, wipe: bool) -> None:
        self.remove(grace)
        if wipe:
            self.wipe()
            self._smi.unlink(missing_ok=True)

    def _card(self, *, cuda: str, busy: int) -> None:
        pod = self._pod
        text = nvidia_smi(pod.id, gpu=pod.gpu, count=pod.count, cuda=cuda, busy=busy)
        self._smi.write_text(text)
        self._smi.chmod(0o755)

    def _make(self, name: str | None, *, mounted: bool, ports: list[int]) -> Any:
        settings = self._pod.settings
        binds = {str(self._smi): {"bind": "/usr/bin/nvidia-smi", "mode": "ro"}}
        mounts = settings.mounts
        if mounted and self._volume:
            [path] = [m.path for m in (mounts.persistent, *(mounts.network or [])) if m]
            binds[self._volume] = {"bind": path, "mode": "rw"}
        return self._site.engine.client.containers.create(
            settings.image,
            settings.cmd or shlex.split(settings.args) or None,
            entrypoint=settings.entrypoint or None,
            name=name,
            hostname=self._pod.id,
            environment=self._pod.environment(),
            volumes=binds,
            ports={f"{port}/tcp": ("127.0.0.1", None) for port in ports},
            labels=self._site.labels,
        )

    def _keeper(self) -> Any:
        """Holds a volume in memory while the pod's own container comes and goes."""
        keeper = self._site.engine.client.containers.create(
            self._pod.settings.image,
            entrypoint=["sleep", "infinity"],
            volumes={self._volume: {"bind": "/kept", "mode": "rw"}},
            labels=self._site.labels,
        )
        keeper.start()
        return keeper

    def _follow(self, container: Any, on_exit: Callable[[], None]) -> None:
        """Output to log lines, whole ones, until the container ends."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        rest = ""
        try:
            for chunk in container.logs(stream=True, follow=True):
                *lines, rest = (rest + decode(chunk)).split("\n")
                for line in lines:
                    self._pod.log.add("container", line.rstrip("\r"))
        except (docker.errors.DockerException, requests.RequestException):
            pass
        if rest:
            self._pod.log.add("container", rest)
        on_exit()


def _published(container: Any) -> dict[int, int]:
    container.reload()
    return {
        int(private.partition("/")[0]): int(bound[0]["HostPort"])
        for private, bound in container.ports.items()
        if bound
    }


def _gone(container: Any, grace: float) -> None:
    try:
        container.stop(timeout=int(grace))
        container.remove(force=True, v=True)
    except docker.errors.NotFound:
        pass
