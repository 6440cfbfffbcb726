"""Whose requests these are: keys and their rights, quota, and what an account stores."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.system.emulator import validate
from tests.system.emulator.clock import Clock
from tests.system.emulator.problems import Problem

WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}


@dataclass(frozen=True)
class Keys:
    account: str = field(default_factory=lambda: f"rpa_{secrets.token_hex(16)}")
    readonly: str = field(default_factory=lambda: f"rpa_{secrets.token_hex(16)}")


@dataclass(frozen=True)
class Caller:
    """Who asks: ``account``, ``readonly``, or the ``pod`` of that id."""

    kind: str
    pod: str = ""


class Quota:
    """Requests left in each window; `limits` are the most in a minute, an hour and a day."""

    def __init__(self, clock: Clock, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)
        self._clock = clock
        self._used: dict[tuple[str, int], int] = {}

    def count(self) -> dict[str, str]:
        """Counts one request and returns the headers that tell what is left.

        Raises:
            Problem: 429, with the seconds to wait.
        """
        now = self._clock.now()
        told, policy, over = [], [], ""
        wait = 0
        for name, limit in self.limits.items():
            length = WINDOWS[name]
            place = (name, int(now // length))
            used = self._used[place] = self._used.get(place, 0) + 1
            left = length - int(now % length)
            if used > limit:
                over, wait = name, max(wait, left)
            told.append(f'"{name}";r={max(0, limit - used)};t={left}')
            policy.append(f'"{name}";q={limit};w={length}')
        headers = {"RateLimit": ", ".join(told), "RateLimit-Policy": ", ".join(policy)}
        if over:
            raise Problem(
                429,
                f"rate limit exceeded for the {over} window",
                headers={**headers, "Retry-After": str(wait)},
            )
        return headers


class Account:
    def __init__(self) -> None:
        self.keys = Keys()
        self.pod_keys: dict[str, str] = {}
        """Pod-scoped key: the pod's id."""
        self.ssh_keys: list[str] = []
        self.registries: dict[str, validate.CreateRegistry] = {}
        self.volumes: dict[str, dict[str, Any]] = {}

    def identify(self, authorization: str | None) -> Caller:
        """The caller behind a header.

        Raises:
            Problem: 401.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Problem(401, "missing bearer token")
        if key == self.keys.account:
            return Caller("account")
        if key == self.keys.readonly:
            return Caller("readonly")
        if key in self.pod_keys:
            return Caller("pod", self.pod_keys[key])
        raise Problem(401, "invalid bearer token")

    def add_registry(self, document: Any) -> dict[str, str]:
        wanted = validate.body(validate.CreateRegistry, document)
        key = secrets.token_hex(4)
        self.registries[key] = wanted
        return {"id": key, "name": wanted.name}

    def registry(self, key: str) -> dict[str, str]:
        if key not in self.registries:
            raise Problem(404, "registry not found")
        return {"id": key, "name": self.registries[key].name}

    def remove_registry(self, key: str, *, in_use: Collection[str | None]) -> None:
        # The API was seen to answer an unknown id with 400 here.
        if key not in self.registries:
            raise Problem(400, "registry credential could not be deleted")
        if key in in_use:
            raise Problem(400, "registry credential is in use by a pod and cannot be deleted")
        del self.registries[key]

    def add_volume(self, document: Any, centres: Collection[str]) -> dict[str, Any]:
        wanted = validate.body(validate.CreateVolume, document)
        if wanted.dataCenter not in centres:
            raise Problem(400, f"data center '{wanted.dataCenter}' does not offer network volumes")
        key = secrets.token_hex(5)
        self.volumes[key] = {"id": key, **wanted.model_dump()}
        return self.volumes[key]

    def volume(self, key: str) -> dict[str, Any]:
        if key not in self.volumes:
            raise Problem(404, "network volume not found")
        return self.volumes[key]

    def update_volume(self, key: str, document: Any) -> dict[str, Any]:
        volume = self.volume(key)
        wanted = validate.body(validate.UpdateVolume, document)
        if not wanted.model_fields_set:
            raise validate.invalid("$", "at least one property is needed")
        changed = wanted.model_dump(include=wanted.model_fields_set)
        if changed.get("size", volume["size"]) < volume["size"]:
            raise Problem(400, "network volume size cannot be reduced")
        volume |= changed
        return volume

    def remove_volume(self, key: str, *, in_use: Collection[str]) -> None:
        self.volume(key)
        if key in in_use:
            raise Problem(400, "network volume is in use by a pod")
        del self.volumes[key]
