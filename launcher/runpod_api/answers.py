"""The API's answers, as far as the launcher reads them.

Reading is lenient: unknown keys are ignored, missing or null ones get a plain default, and an item
without an id is left out. Money is in USD, memory and disks in GB, times are RFC 3339 text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT = "TERMINATED"
LARGEST = 1e15  # seconds, dollars or gigabytes: beyond what anything here can be


def as_map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_number(value: object) -> float:
    """The value as a float; 0 if it is not a number, infinite or too large."""
    if not isinstance(value, int | float) or not -LARGEST < value < LARGEST:
        return 0.0
    return float(value)


@dataclass(frozen=True)
class Endpoint:
    """Where a pod's sshd can be reached directly."""

    host: str
    port: int
    user: str = "root"


@dataclass(frozen=True)
class Pod:
    """``rate`` is USD per hour now (0 when stopped); ``env`` is what RunPod shows any key holder."""

    id: str
    name: str
    status: str
    actions: tuple[str, ...]
    image: str
    rate: float
    gpu_id: str
    gpu_count: int
    data_center: str
    cuda_version: str
    ssh: Endpoint | None
    uptime: int | None
    gpu_use: tuple[float, ...]
    created: str
    started: str
    env: Mapping[str, str] = field(repr=False, hash=False)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Pod":
        gpu = as_map(data.get("gpu"))
        runtime = as_map(data.get("runtime"))
        uptime = runtime.get("uptime")
        return cls(
            id=as_text(data.get("id")),
            name=as_text(data.get("name")),
            status=as_text(data.get("status")).upper() or "UNKNOWN",
            actions=tuple(a for a in as_list(data.get("actions")) if isinstance(a, str)),
            image=as_text(data.get("image")),
            rate=as_number(data.get("cost")),
            gpu_id=as_text(gpu.get("id")),
            gpu_count=int(as_number(gpu.get("count"))),
            data_center=as_text(data.get("dataCenterId")),
            cuda_version=as_text(data.get("cudaVersion")),
            ssh=_endpoint(as_map(data.get("ssh")), runtime),
            uptime=int(as_number(uptime)) if isinstance(uptime, int | float) else None,
            gpu_use=tuple(as_number(as_map(g).get("util")) for g in as_list(runtime.get("gpus"))),
            created=as_text(data.get("createdAt")),
            started=as_text(data.get("startedAt")),
            env={k: v for k, v in as_map(data.get("env")).items() if isinstance(v, str)},
        )


def _endpoint(ssh: Mapping[str, Any], runtime: Mapping[str, Any]) -> Endpoint | None:
    direct = as_map(ssh.get("direct"))
    host, port = direct.get("host"), direct.get("port")
    if isinstance(host, str) and host and isinstance(port, int):
        return Endpoint(host, port, as_text(direct.get("username")) or "root")
    for item in map(as_map, as_list(runtime.get("ports"))):
        host, port = item.get("ip"), item.get("public")
        if item.get("private") == 22 and isinstance(host, str) and isinstance(port, int):
            return Endpoint(host, port)
    return None


@dataclass(frozen=True)
class Availability:
    """Availability of a card or a data center: NONE, LOW, MEDIUM, HIGH, or empty when unknown."""

    id: str
    name: str
    availability: str

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Availability":
        return cls(
            id=as_text(data.get("id")),
            name=as_text(data.get("name")),
            availability=as_text(data.get("availability")).upper(),
        )


@dataclass(frozen=True)
class Gpu:
    """A card of the catalog. Prices are per card and hour; ``cuda`` maps version to free right now."""

    id: str
    name: str
    memory: int
    secure: bool
    secure_price: float
    community_price: float
    max_count: int
    availability: str
    data_centers: tuple[Availability, ...]
    cuda: Mapping[str, bool] = field(hash=False)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Gpu":
        price = as_map(data.get("price"))
        stock = Availability.read(data)
        return cls(
            id=stock.id,
            name=stock.name,
            memory=int(as_number(data.get("memory"))),
            secure=data.get("secure") is True,
            secure_price=as_number(price.get("secure")),
            community_price=as_number(price.get("community")),
            max_count=int(as_number(as_map(data.get("maxCount")).get("secure"))),
            availability=stock.availability,
            data_centers=tuple(
                Availability.read(item) for item in map(as_map, as_list(data.get("dataCenters")))
            ),
            cuda={
                as_text(item.get("version")): item.get("available") is True
                for item in map(as_map, as_list(data.get("cudaVersions")))
            },
        )


@dataclass(frozen=True)
class Catalog:
    """``gpus`` as they were at ``read_at`` (Unix seconds), availability for ``count`` cards a pod."""

    read_at: float
    count: int
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class DataCenter:
    """``volume_types`` is empty where network volumes cannot be had."""

    id: str
    name: str
    region: str
    volume_types: tuple[str, ...]
    gpus: tuple[Availability, ...]

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "DataCenter":
        return cls(
            id=as_text(data.get("id")),
            name=as_text(data.get("name")),
            region=as_text(data.get("region")),
            volume_types=tuple(map(as_text, as_list(data.get("networkVolumeTypes")))),
            gpus=tuple(
                Availability.read(item)
                for item in map(as_map, as_list(data.get("gpuAvailability")))
            ),
        )


@dataclass(frozen=True)
class Registry:
    """A stored credential for a container registry; the API never returns what is in it."""

    id: str
    name: str

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Registry":
        return cls(id=as_text(data.get("id")), name=as_text(data.get("name")))


@dataclass(frozen=True)
class Volume:
    """A network volume; it lives in one data center."""

    id: str
    name: str
    size: int
    data_center: str

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Volume":
        return cls(
            id=as_text(data.get("id")),
            name=as_text(data.get("name")),
            size=int(as_number(data.get("size"))),
            data_center=as_text(data.get("dataCenter")),
        )


@dataclass(frozen=True)
class BillingRecord:
    """What one pod was charged, USD, within one bucket of time."""

    pod_id: str
    start: str
    end: str
    total: float
    gpu: float
    cpu: float
    disk: float

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "BillingRecord":
        return cls(
            pod_id=as_text(data.get("podId")),
            start=as_text(data.get("startTime")),
            end=as_text(data.get("endTime")),
            total=as_number(data.get("totalAmount")),
            gpu=as_number(data.get("gpuAmount")),
            cpu=as_number(data.get("cpuAmount")),
            disk=as_number(data.get("diskAmount")),
        )


@dataclass(frozen=True)
class LogLine:
    """``source`` is ``container`` (what the pod printed) or ``system`` (pull and lifecycle)."""

    id: str
    time: str
    source: str
    line: str
