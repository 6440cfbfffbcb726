"""Pods of ours: their names, and what a run's journal says of the ones it rented."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from launcher.journal import Entry, of_this_run
from launcher.runs import Run
from launcher.world import World

_NAME = re.compile(r"sft-(?P<run>.+)-(?P<machine>[0-9a-f]{8})-(?P<gone_by>\d{9,11})-(?P<n>\d+)")

WOKEN = 3600.0  # seconds that a stopped pod may be up to be fetched from


@dataclass(frozen=True)
class Name:
    """A pod's name tells any machine with the key whose it is and when it must be gone."""

    run: str
    machine: str
    gone_by: int
    attempt: int

    def __str__(self) -> str:
        return f"sft-{self.run}-{self.machine}-{self.gone_by}-{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a name; None for a pod that is not ours."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        return cls(found["run"], found["machine"], int(found["gone_by"]), int(found["n"]))


def machine_id(world: World) -> str:
    """Eight hexadecimal digits, the same for this user on this machine."""
    path = world.state_folder() / "machine"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(world.token() + world.token(), encoding="utf-8")
    return path.read_text("utf-8")


@dataclass(frozen=True)
class Rented:
    """What the journal says: the newest pod, and every name that may stand for one.

    ``pod`` is None where a create was begun and nobody knows what came of it. ``up``: when it was first
    seen up, or up again after it was woken. ``handed_over``: the job lies in the pod. ``released``: no
    pod of the run exists any more.
    """

    name: str
    pod: str | None
    facts: dict[str, Any]
    since: float
    names: tuple[str, ...]
    handed_over: bool
    fetched: bool
    released: bool
    up: float | None = None

    @property
    def rate(self) -> float:
        return float(self.facts.get("rate", 0.0))

    @property
    def gone_by(self) -> float:
        return float(self.facts.get("gone_by", 0.0))

    def cost(self, now: float) -> float:
        """What the pod has cost so far, at its rate, until its deadline at most."""
        return max(0.0, min(now, self.gone_by) - self.since) / 3600 * self.rate


def rented(entries: Sequence[Entry]) -> Rented | None:
    """What a run has rented; None when it never came to that."""
    name, pod = "", None
    facts: dict[str, Any] = {}
    since = 0.0
    up: float | None = None
    names: list[str] = []
    handed_over = fetched = released = False
    for entry in entries:
        match entry.what, entry.stage:
            case "rent", "intent":
                name, pod, facts, since = str(entry.facts["name"]), None, entry.facts, entry.time
                names.append(name)
                up = None
                handed_over = fetched = released = False
            case ("rent", "done") | ("found", "fact"):
                pod = entry.facts.get("pod")
                released = pod is None  # refused: nothing was made
                facts = {**facts, **entry.facts}
            case ("release", "done") | ("gone", "fact"):
                released = True
            case "wake", "done":
                facts = {**facts, "gone_by": entry.time + WOKEN}
            case "up", "fact":
                up = entry.time
            case "start", "done":
                handed_over = True
            case "fetch", "done":
                fetched = True
    if not names:
        return None
    return Rented(name, pod, facts, since, tuple(names), handed_over, fetched, released, up)


def spent(entries: Sequence[Entry], now: float) -> float:
    """What the run's pods have cost by the clock: each until its release, or its deadline at most."""
    total = 0.0
    open_: tuple[float, float, float] | None = None  # since, rate, gone_by
    for entry in of_this_run(entries):
        match entry.what, entry.stage:
            case "rent", "intent":
                total += _cost(open_, entry.time)
                facts = entry.facts
                open_ = entry.time, float(facts["rate"]), float(facts["gone_by"])
            case "rent", "done" if open_ is not None:
                rate = float(entry.facts.get("rate", open_[1]))
                open_ = (open_[0], rate, open_[2]) if entry.facts.get("pod") else None
            case ("release", "done") | ("gone", "fact"):
                total += _cost(open_, entry.time)
                open_ = None
    return total + _cost(open_, now)


def _cost(pod: tuple[float, float, float] | None, until: float) -> float:
    if pod is None:
        return 0.0
    since, rate, gone_by = pod
    return max(0.0, min(until, gone_by) - since) / 3600 * rate


def key_file(run: Run, world: World) -> Path:
    """Where the run's SSH key lies: in the user's state folder, until the pod is released."""
    return world.state_folder() / "keys" / run.id
