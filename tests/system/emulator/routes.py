"""Every call of the API that is here: method, path, and what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.system.emulator import validate
from tests.system.emulator.hosts import CENTRES
from tests.system.emulator.pods import Pods
from tests.system.emulator.problems import Problem
from tests.system.emulator.site import Site


@dataclass(frozen=True)
class Call:
    id: str
    """What the path names; empty where it names nothing."""
    query: Mapping[str, str]
    body: Any
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    operation: str
    do: Callable[[Call], tuple[int, Any]]


def routes(site: Site, pods: Pods) -> list[Route]:
    account, catalog = site.account, site.catalog

    def every_pod(call: Call) -> tuple[int, Any]:
        validate.boolean(call.query, "includeClusterPods")
        return 200, {"pods": [one.view() for one in pods]}

    def act(call: Call) -> tuple[int, Any]:
        told = pods.act(call.id, call.body)
        return (204, None) if told is None else (200, told)

    def delete(call: Call) -> tuple[int, Any]:
        pods.delete(call.id)
        return 204, None

    def card(call: Call) -> tuple[int, Any]:
        found = catalog.gpus(call.query, only=call.id)
        if not found:
            raise Problem(404, "GPU type not found")
        return 200, found[0]

    def centre(call: Call) -> tuple[int, Any]:
        found = [one for one in catalog.centres(call.query) if one["id"] == call.id]
        if not found:
            raise Problem(404, "data center not found")
        return 200, found[0]

    def put_keys(call: Call) -> tuple[int, Any]:
        account.ssh_keys = validate.body(validate.SshKeys, call.body).keys
        return 200, {"keys": account.ssh_keys}

    def drop_registry(call: Call) -> tuple[int, Any]:
        account.remove_registry(call.id, in_use={pod.settings.registry for pod in pods})
        return 204, None

    def drop_volume(call: Call) -> tuple[int, Any]:
        networks = [pod.settings.mounts.network or [] for pod in pods]
        account.remove_volume(call.id, in_use={one.volumeId for some in networks for one in some})
        return 204, None

    def stored_registries(_: Call) -> tuple[int, Any]:
        return 200, {"registries": [account.registry(key) for key in account.registries]}

    def stored_volumes(_: Call) -> tuple[int, Any]:
        return 200, {"networkVolumes": list(account.volumes.values())}

    pod, registry, volume = "/v2/pods/{id}", "/v2/registries/{id}", "/v2/network-volumes/{id}"
    return [
        Route("POST", "/v2/pods", "create", lambda c: (201, pods.create(c.body, c.facts))),
        Route("GET", "/v2/pods", "list", every_pod),
        Route("GET", pod, "get", lambda c: (200, pods.get(c.id))),
        Route("PATCH", pod, "update", lambda c: (200, pods.update(c.id, c.body))),
        Route("DELETE", pod, "delete", delete),
        Route("POST", pod + "/action", "action", act),
        Route("GET", pod + "/logs", "logs", lambda _: (200, None)),
        Route(
            "GET", "/v2/catalog/gpus", "catalog", lambda c: (200, {"gpus": catalog.gpus(c.query)})
        ),
        Route("GET", "/v2/catalog/gpus/{id}", "catalog", card),
        Route(
            "GET",
            "/v2/catalog/datacenters",
            "catalog",
            lambda c: (200, {"dataCenters": catalog.centres(c.query)}),
        ),
        Route("GET", "/v2/catalog/datacenters/{id}", "catalog", centre),
        Route("GET", "/v2/billing/pods", "billing", lambda c: (200, site.billing.records(c.query))),
        Route(
            "GET", "/v2/account/ssh-keys", "ssh-keys", lambda _: (200, {"keys": account.ssh_keys})
        ),
        Route("PUT", "/v2/account/ssh-keys", "ssh-keys", put_keys),
        Route(
            "POST", "/v2/registries", "registries", lambda c: (201, account.add_registry(c.body))
        ),
        Route("GET", "/v2/registries", "registries", stored_registries),
        Route("GET", registry, "registries", lambda c: (200, account.registry(c.id))),
        Route("DELETE", registry, "registries", drop_registry),
        Route(
            "POST",
            "/v2/network-volumes",
            "network-volumes",
            lambda c: (201, account.add_volume(c.body, CENTRES)),
        ),
        Route("GET", "/v2/network-volumes", "network-volumes", stored_volumes),
        Route("GET", volume, "network-volumes", lambda c: (200, account.volume(c.id))),
        Route(
            "PATCH", volume, "network-volumes", lambda c: (200, account.update_volume(c.id, c.body))
        ),
        Route("DELETE", volume, "network-volumes", drop_volume),
    ]
