"""The pods that launch rents: their names, and the pods in a run's journal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from launcher.runs.journal import Entry, of_this_run
from launcher.runs.run_folder import Run
from launcher.world import World

_NAME = re.compile(r"sft-(?P<run>.+)-(?P<machine>[0-9a-f]{8})-(?P<gone_by>\d{9,11})-(?P<n>\d+)")

WOKEN = 3600.0  # seconds that a stopped pod may be up to be fetched from


@dataclass(frozen=True)
class Name:
    """A pod's name: its run, machine and deadline, readable by any machine with the key."""

    run: str
    machine: str
    gone_by: int
    attempt: int

    def __str__(self) -> str:
        return f"sft-{self.run}-{self.machine}-{self.gone_by}-{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a name; None for a pod that launch did not rent."""
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
    """The newest pod in the journal, and every name under which a pod of the run may exist.

    ``pod`` is None while the outcome of a create is unknown. ``up``: when it was first seen up, or up
    again after a stop. ``handed_over``: the pod has the job. ``released``: no pod of the run exists.
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
    """The pods a run has rented; None if it rented none."""
    name, pod = "", None
    facts: dict[str, Any] = {}
    asleep: dict[str, Any] = {}
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
            case "wake", "intent":
                asleep, facts = facts, {**facts, "gone_by": entry.time + WOKEN}
            case "wake", "failed":
                facts = asleep
            case "up", "fact":
                up = entry.time
            case "start", "done":
                handed_over = True
            case "fetch", "done":
                fetched = True
    if not names:
        return None
    return Rented(name, pod, facts, since, tuple(names), handed_over, fetched, released, up)


@dataclass(frozen=True)
class Span:
    """One pod from its creation to its deletion; ``until`` is None while the pod exists."""

    pod: str | None
    since: float
    rate: float
    gone_by: float
    until: float | None = None

    def seconds(self, now: float) -> float:
        """How long it was billed by ``now``: until its deadline at most."""
        end = now if self.until is None else self.until
        return max(0.0, min(end, self.gone_by) - self.since)

    def cost(self, now: float) -> float:
        return self.seconds(now) / 3600 * self.rate


def spans(entries: Sequence[Entry]) -> list[Span]:
    """The pods of a run, in order; also a pod whose creation has an unknown outcome."""
    found: list[Span] = []
    for entry in of_this_run(entries):
        facts = entry.facts
        live = bool(found) and found[-1].until is None
        match entry.what, entry.stage:
            case "rent", "intent":
                if live:
                    found[-1] = replace(found[-1], until=entry.time)
                rate, gone_by = float(facts["rate"]), float(facts["gone_by"])
                found.append(Span(None, entry.time, rate, gone_by))
            case ("rent", "done") | ("found", "fact") if live:
                last = found.pop()
                if pod := facts.get("pod"):
                    rate = float(facts.get("rate", last.rate))
                    found.append(replace(last, pod=pod, rate=rate))
            case ("release", "done") | ("gone", "fact") if live:
                found[-1] = replace(found[-1], until=entry.time)
    return found


def spent(entries: Sequence[Entry], now: float) -> float:
    """The cost of the run's pods by elapsed time, in USD."""
    return sum(span.cost(now) for span in spans(entries))


def key_file(run: Run, world: World) -> Path:
    """Where the run's SSH key lies: in the user's state folder, until the pod is released."""
    return world.state_folder() / "keys" / run.id
