"""The catalog: what there is to rent, at what price, where, and placing a pod."""

from collections.abc import Iterable, Mapping
from threading import RLock
from typing import Any

from tests.system.emulator import validate
from tests.system.emulator.hosts import CARDS, CENTRES, Host, number, usual_hosts
from tests.system.emulator.problems import NO_CAPACITY, Problem

REGIONS = ("NORTH_AMERICA SOUTH_AMERICA EUROPE ASIA MIDDLE_EAST AFRICA OCEANIA ANTARCTICA").split()
COMPLIANCE = (
    "GDPR ISO_IEC_27001 ISO_14001 PCI_DSS HITRUST SOC_1_TYPE_2 SOC_2_TYPE_2 SOC_3_TYPE_2 "
    "ITAR FISMA_HIGH HIPAA RENEWABLE"
).split()
AVAILABILITY_ONLY = ("count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion", "product")


class Catalog:
    def __init__(self, hosts: Iterable[Host] | None = None) -> None:
        self.hosts = usual_hosts() if hosts is None else list(hosts)
        self._lock = RLock()

    def place(self, wanted: validate.CreatePod) -> Host:
        """Takes the cards `wanted` asks for from the first host that has them.

        Raises:
            Problem: 400, no capacity. So is a request without a count, and a disk too small.
        """
        gpu = wanted.gpu
        assert gpu is not None
        with self._lock:
            for host in self.hosts:
                if (
                    host.gpu == gpu.id
                    and host.cloud == wanted.cloud
                    and (not wanted.dataCenterIds or host.centre in wanted.dataCenterIds)
                    and _suits(host.cuda, gpu.allowedCudaVersions, gpu.minCudaVersion)
                    and host.ram >= gpu.minRamPerGpu
                    and host.vcpus >= gpu.minVcpuCountPerGpu
                    and self.take(host, gpu.count)
                ):
                    return host
        raise Problem(400, NO_CAPACITY)

    def take(self, host: Host, count: int) -> bool:
        with self._lock:
            if not 0 < count <= host.free:
                return False
            host.free -= count
            return True

    def give_back(self, host: Host, count: int) -> None:
        with self._lock:
            host.free += count

    def gpus(self, query: Mapping[str, str], only: str | None = None) -> list[dict[str, Any]]:
        """``GET /v2/catalog/gpus``; with `only`, the one card of that id, or none.

        Raises:
            Problem: 400 or 422, a query against the rules.
        """
        stock = self._stock(query)
        count = validate.integer(query, "count", 1, least=1)
        cards = []
        for gpu in CARDS if only is None else {only} & CARDS.keys():
            card = _card(gpu)
            if stock is not None:
                hosts = [host for host in stock if host.gpu == gpu]
                if not hosts and only is None and "countryCodes" in query:
                    continue
                card |= _availability(hosts, count)
            cards.append(card)
        return cards

    def _stock(self, query: Mapping[str, str]) -> list[Host] | None:
        """The hosts a query speaks of, or None where it asks for no availability."""
        included = validate.words(query, "include", ("AVAILABILITY",))
        if len(included) > 1:
            raise validate.invalid("query.include", "at most one")
        products = validate.words(query, "product", ("POD", "CLUSTER", "SERVERLESS"))
        stray = [key for key in AVAILABILITY_ONLY if key in query]
        if not included:
            if stray:
                raise Problem(400, f"{stray[0]} is valid only with include=AVAILABILITY")
            return None
        if not products:
            raise Problem(400, "product is required with include=AVAILABILITY")
        if "cudaVersions" in query and "minCudaVersion" in query:
            raise Problem(400, "cudaVersions and minCudaVersion are mutually exclusive")
        exact = validate.words(query, "cudaVersions", like=r"\d+\.\d+")
        least = next(iter(validate.words(query, "minCudaVersion", like=r"\d+(\.\d+)?")), "")
        cloud = validate.words(query, "cloud", ("SECURE", "COMMUNITY")) or ["SECURE"]
        countries = validate.words(query, "countryCodes", like=r"[A-Z]{2}")
        return [
            host
            for host in self.hosts
            if host.cloud in cloud
            and (not countries or CENTRES[host.centre][2] in countries)
            and _suits(host.cuda, exact, least)
        ]

    def centres(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """``GET /v2/catalog/datacenters``.

        Raises:
            Problem: 422.
        """
        included = validate.words(query, "include", ("GPU_AVAILABILITY", "CPU_AVAILABILITY"))
        regions = validate.words(query, "regions", tuple(REGIONS))
        networked = validate.boolean(query, "globalNetwork")
        volumes = validate.words(query, "networkVolumeTypes", ("STANDARD", "HIGH_PERFORMANCE"))
        none_has = networked or "HIGH_PERFORMANCE" in volumes
        none_has = bool(validate.words(query, "compliance", tuple(COMPLIANCE))) or none_has
        found = []
        for centre, (name, region, _) in CENTRES.items():
            if none_has or (regions and region not in regions):
                continue
            told: dict[str, Any] = {
                "id": centre,
                "name": name,
                "region": region,
                "globalNetwork": False,
                "networkVolumeTypes": ["STANDARD"],
                "compliance": [],
            }
            hosts = [host for host in self.hosts if host.centre == centre]
            if "GPU_AVAILABILITY" in included and hosts:
                told["gpuAvailability"] = [
                    _level(gpu, CARDS[gpu][0], [host for host in hosts if host.gpu == gpu], 1)
                    for gpu in sorted({host.gpu for host in hosts})
                ]
            found.append(told)
        return found


def _card(gpu: str) -> dict[str, Any]:
    name, memory, secure, community, most = CARDS[gpu]
    return {
        "id": gpu,
        "name": name,
        "pool": None,
        "manufacturer": "NVIDIA",
        "memory": memory,
        "secure": True,
        "community": True,
        "price": {"secure": secure, "community": community},
        "maxCount": {"secure": most, "community": most},
    }


def _availability(hosts: list[Host], count: int) -> dict[str, Any]:
    told: dict[str, Any] = {"availability": _level("", "", hosts, count)["availability"]}
    if told["availability"] != "NONE":
        told["dataCenters"] = [
            _level(centre, CENTRES[centre][0], [h for h in hosts if h.centre == centre], count)
            for centre in sorted({host.centre for host in hosts})
        ]
    versions = sorted({host.cuda for host in hosts}, key=number)
    if versions:
        told["cudaVersions"] = [
            {"version": v, "available": any(h.cuda == v and h.free >= count for h in hosts)}
            for v in versions
        ]
    return told


def _level(key: str, name: str, hosts: list[Host], count: int) -> dict[str, Any]:
    most = max((host.free // count for host in hosts), default=0)
    level = "NONE" if most == 0 else "LOW" if most == 1 else "MEDIUM" if most < 4 else "HIGH"
    return {"id": key, "name": name, "availability": level}


def _suits(cuda: str, exact: list[str], least: str) -> bool:
    return (not exact or cuda in exact) and (not least or number(cuda) >= number(least))
