"""The launcher's requests to RunPod.

Why they do not go through the vendor's SDK: ``docs/decisions/runpod-sdk.md``.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote

from launcher.errors import ApiUnavailable, WrongState
from launcher.runpod_api import logs
from launcher.runpod_api.answers import (
    BillingRecord,
    Catalog,
    DataCenter,
    Gpu,
    LogLine,
    Page,
    Pod,
    Registry,
    Volume,
)
from launcher.runpod_api.http import TRIES, Http, OutcomeUnknown, Waiting
from trainer.contract.command.errors import NotFound

BASE_URL = "https://api.runpod.io"
BASE_URL_VARIABLE = "RUNPOD_API_BASE_URL"
SSH_PORT = "22/tcp"
SETTLE = (
    0.0,
    2.0,
    4.0,
    8.0,
    16.0,
)  # a pod that was made in spite of an error shows up within these
CREATE_TRIES = 3
UNSEEN = 90.0  # seconds that a fresh pod may be unknown to the API
SETTLE_POD = (*SETTLE, 15.0, 15.0, 15.0, 15.0)  # UNSEEN together: a second pod would bill too
RELEASE_TRIES = 12
PAGES = 1000


class _Item(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


T = TypeVar("T")
Named = TypeVar("Named", bound=_Item)


@dataclass(frozen=True)
class PodRequest:
    """A pod to rent; ``body`` is what is sent. ``name`` must be unique to this attempt.

    ``disk`` GB are lost at every restart; ``volume_gb`` GB at ``mount`` lie on the host and survive a
    stop, a network volume (``volume_id``) also the pod. ``env`` is readable by every key holder.
    """

    name: str
    image: str
    gpu_id: str
    gpu_count: int
    min_cuda: str
    disk: int
    mount: str
    env: Mapping[str, str]
    volume_gb: int = 0
    volume_id: str = ""
    args: str = ""
    registry: str = ""
    data_centers: tuple[str, ...] = ()
    ports: tuple[str, ...] = field(default=(SSH_PORT,))

    def body(self) -> dict[str, object]:
        mounts: dict[str, object] = (
            {"network": [{"volumeId": self.volume_id, "path": self.mount}]}
            if self.volume_id
            else {"persistent": {"size": self.volume_gb, "path": self.mount}}
        )
        body: dict[str, object] = {
            "name": self.name,
            "image": self.image,
            "cloud": "SECURE",
            "gpu": {"id": self.gpu_id, "count": self.gpu_count, "minCudaVersion": self.min_cuda},
            "disk": self.disk,
            "mounts": mounts,
            "ports": list(self.ports),
            "env": dict(self.env),
        }
        # An empty value is not the same as none: empty args replace the image's own command.
        if self.args:
            body["args"] = self.args
        if self.registry:
            body["registry"] = self.registry
        if self.data_centers:
            body["dataCenterIds"] = list(self.data_centers)
        return body


class Api:
    """RunPod's REST v2 with one key; a context manager. ``now`` gives Unix seconds.

    Every call raises the faults of ``launcher.errors`` (and ``NotFound``); reads, stop, start and
    delete are repeated with patience on 429, server faults and broken connections.
    """

    def __init__(
        self,
        key: str,
        base_url: str = BASE_URL,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        draw: Callable[[], float],
        waiting: Waiting = nullcontext,
    ) -> None:
        self._http = Http(key, base_url, sleep=sleep, draw=draw, waiting=waiting)
        self._waiting = waiting
        self._now = now
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"Api({self._http.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # Pods

    def pods(self, name: str | None = None) -> list[Pod]:
        """All pods of the account, or those of that exact name; none that is terminated."""
        found = [
            pod for pod in self._list("/v2/pods", "pods", Pod.model_validate) if not pod.deleted
        ]
        return found if name is None else [pod for pod in found if pod.name == name]

    def pod(self, pod_id: str) -> Pod | None:
        """The pod, or None when the API does not know it: gone, or too young to be seen."""
        try:
            return Pod.model_validate(self._get(_pod(pod_id)))
        except NotFound:
            return None

    def create_pod(self, request: PodRequest) -> Pod:
        """Rent a pod, once.

        When it is not known whether a request was carried out, the account is searched for the name
        before another is sent. Raises ``OutcomeUnknown`` when that fails too: a pod of this name
        may then exist. If two were made, one is deleted.
        """
        with self._waiting(f"RunPod to make pod {request.name}, or to show that it has not"):
            pod, tried = self._create(
                "/v2/pods",
                request.body(),
                Pod.model_validate,
                self.pods,
                request.name,
                set(),
                SETTLE_POD,
            )
        if tried > 1:
            for twin in self.pods(request.name):
                if twin.id != pod.id:
                    self.release(twin.id, unseen=UNSEEN)
        return pod

    def stop(self, pod_id: str) -> Pod:
        """Release the GPU and keep the volume; a stopped pod stays stopped."""
        return self._act(pod_id, "stop", {"EXITED"})

    def start(self, pod_id: str) -> Pod:
        """Boot a stopped pod. ``NoCapacity`` when its host has no card free."""
        return self._act(pod_id, "start", {"PROVISIONING", "STARTING", "RUNNING"})

    def delete(self, pod_id: str) -> bool:
        """Ask for the pod's end. False when the API does not know it, which proves nothing."""
        try:
            self._http.send("DELETE", _pod(pod_id), safe=True)
        except NotFound:
            return False
        return True

    def absent(self, pod_id: str) -> bool:
        """Whether neither get nor list shows the pod as existing."""
        pod = self.pod(pod_id)
        return (pod is None or pod.deleted) and all(p.id != pod_id for p in self.pods())

    def release(self, pod_id: str, *, unseen: float = 0.0) -> None:
        """Delete the pod and return once its absence is confirmed; may be called again.

        A delete that was not accepted is repeated, and needs more than one look: a fresh pod can be
        unknown for a while and live. For the next ``unseen`` seconds that it is unknown proves nothing.
        Raises ``ApiUnavailable`` when the pod does not go.
        """
        seen_by = self._now() + unseen
        with self._waiting(f"RunPod to delete pod {pod_id}"):
            looks = 0
            accepted = False
            for attempt in range(RELEASE_TRIES):
                accepted = self.delete(pod_id) or accepted
                looks = looks + (3 if accepted else 1) if self.absent(pod_id) else 0
                if looks >= 3 and (accepted or self._now() >= seen_by):
                    return
                self._sleep(min(1.0 * 2**attempt, 15.0))
        raise ApiUnavailable(
            f"pod {pod_id} was deleted, but RunPod still lists it",
            "it may still be billed: delete it in RunPod's console, or run: launch reap",
        )

    def logs(
        self, pod_id: str, *, source: str | None = None, quiet: float = 15.0
    ) -> Iterator[LogLine | None]:
        """The pod's log from its start, each line once, over as many connections as it takes.

        ``source``: ``container``, ``system`` or both. Endless; ``None`` whenever no line came for
        ``quiet`` seconds or the stream broke. ``NotFound`` after about a minute of an unknown pod.
        """
        return logs.follow(self._http, f"{_pod(pod_id)}/logs", source=source, quiet=quiet)

    def clock_drift(self) -> float | None:
        """Seconds that this machine's clock is ahead of the API's; None when it is unknown."""
        try:
            there = parsedate_to_datetime(self._http.answered_at).timestamp()
        except ValueError:
            return None
        return self._now() - there

    # Catalog

    def catalog(
        self, count: int = 1, *, min_cuda: str | None = None, tries: int = TRIES
    ) -> Catalog:
        """Secure Cloud's cards, prices and stock for pods of ``count`` cards, and when it was read."""
        query: dict[str, str | int] = {
            "include": "AVAILABILITY",
            "product": "POD",
            "cloud": "SECURE",
            "count": count,
        }
        if min_cuda:
            query["minCudaVersion"] = min_cuda
        read_at = self._now()
        path, read = "/v2/catalog/gpus", Gpu.model_validate
        gpus = self._list(path, "gpus", read, query, tries=tries)
        return Catalog(read_at=read_at, count=count, gpus=tuple(gpus))

    def data_centers(self) -> list[DataCenter]:
        return self._list(
            "/v2/catalog/datacenters",
            "dataCenters",
            DataCenter.model_validate,
            {"include": "GPU_AVAILABILITY"},
        )

    # Registries, network volumes, bills

    def registries(self) -> list[Registry]:
        return self._list("/v2/registries", "registries", Registry.model_validate)

    def create_registry(self, name: str, username: str, password: str) -> Registry:
        """Store a pull credential. The password goes out once and stays nowhere on this side."""
        body = {"name": name, "username": username, "password": password}
        return self._create_named(
            "/v2/registries", body, Registry.model_validate, self.registries, name
        )

    def volumes(self) -> list[Volume]:
        return self._list("/v2/network-volumes", "networkVolumes", Volume.model_validate)

    def create_volume(self, name: str, *, size: int, data_center: str) -> Volume:
        """Make a network volume of ``size`` GB (10 to 4096): billed until it is deleted."""
        body = {"name": name, "size": size, "dataCenter": data_center}
        return self._create_named(
            "/v2/network-volumes", body, Volume.model_validate, self.volumes, name
        )

    def bill(self, pod_id: str, *, since: str) -> list[BillingRecord]:
        """What the pod was charged from ``since`` (RFC 3339) on, by the hour; lags, may be empty."""
        query = {"podId": pod_id, "bucketSize": "hour", "startTime": since}
        records = self._list("/v2/billing/pods", "records", BillingRecord.model_validate, query)
        return [record for record in records if record.pod_id == pod_id]

    # How

    def _get(self, path: str, query: Mapping[str, str | int] | None = None) -> Mapping[str, Any]:
        return self._http.send("GET", path, query=query, safe=True)

    def _list(
        self,
        path: str,
        key: str,
        read: Callable[[Mapping[str, Any]], T],
        query: Mapping[str, str | int] | None = None,
        *,
        tries: int = TRIES,
    ) -> list[T]:
        found: list[T] = []
        cursor: dict[str, str | int] = {}
        for _ in range(PAGES):
            answer = self._http.send(
                "GET", path, query={**(query or {}), **cursor}, safe=True, tries=tries
            )
            if not isinstance(answer.get(key), list):
                raise ApiUnavailable(
                    f"GET {path}: the answer has no list {key!r}",
                    f"check that {self._http.base_url} is RunPod's API",
                )
            found += [read(item) for item in answer[key] if item and isinstance(item, dict)]
            page = Page.model_validate(answer)
            if not page.more or page.cursor in {"", cursor.get("cursor")}:
                break
            cursor = {"cursor": page.cursor}
        return found

    def _act(self, pod_id: str, action: str, done: set[str]) -> Pod:
        try:
            path = f"{_pod(pod_id)}/action"
            return Pod.model_validate(
                self._http.send("POST", path, body={"action": action}, safe=True)
            )
        except WrongState:
            pod = self.pod(pod_id)
            if pod is None or pod.status not in done:
                raise
            return pod

    def _create_named(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[Mapping[str, Any]], Named],
        listed: Callable[[], list[Named]],
        name: str,
    ) -> Named:
        """As ``_create``, for names that need not be unique: items that existed before do not count."""
        before = {item.id for item in listed()}
        return self._create(path, body, read, lambda _: listed(), name, before)[0]

    def _create(
        self,
        path: str,
        body: Mapping[str, object],
        read: Callable[[Mapping[str, Any]], Named],
        listed: Callable[[str], list[Named]],
        name: str,
        before: set[str],
        settle: Sequence[float] = SETTLE,
    ) -> tuple[Named, int]:
        """What was made and at which try; ``settle`` are the waits before each look for the name."""
        for tried in itertools.count(1):
            try:
                made = read(self._http.send("POST", path, body=body, safe=False))
                if made.id:
                    return made, tried
                cause = f"POST {path}: the answer contains no id"
            except OutcomeUnknown as fault:
                cause = fault.cause
            doubt = OutcomeUnknown(
                cause, f"{name!r} may exist: look for that name in RunPod's console"
            )
            for wait in settle:
                self._sleep(wait)
                try:
                    found = listed(name)
                except ApiUnavailable:
                    raise doubt from None
                for item in found:
                    if item.name == name and item.id not in before:
                        return item, tried
            if tried == CREATE_TRIES:
                raise doubt
        raise AssertionError


def _pod(pod_id: str) -> str:
    return f"/v2/pods/{quote(pod_id, safe='')}"
