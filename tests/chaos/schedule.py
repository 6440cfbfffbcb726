"""What goes wrong, and when: drawn from a seed, before anything runs, and shown as lines."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

import httpx2

from tests.chaos.cloud import Cloud, error
from tests.chaos.laptop import Laptop, Process
from tests.chaos.pod import Pod

BOOTS = ("well", "hangs", "fails", "exits", "loops", "old driver")


@dataclass
class Trouble:
    """An API that misbehaves for ``left`` requests, or until an instant."""

    how: str
    method: str = ""
    left: int = 1 << 30
    since: float = 0.0
    until: float = float("inf")
    clock: Any = None
    wait: int = 0

    def meet(self, method: str, path: str) -> Callable[..., httpx2.Response] | None:
        now = self.clock.time
        if self.left <= 0 or not self.since <= now < self.until:
            return None
        if self.method and self.method != method:
            return None
        self.left -= 1
        return self._answer

    def _answer(self, act: Callable[[], Any]) -> httpx2.Response:
        if "acted" in self.how:
            act()
        if "timeout" in self.how:
            self.clock.sleep(30)
            raise httpx2.ReadTimeout("timed out")
        if "429" in self.how:
            return error(429, "slow down", **{"Retry-After": str(self.wait)})
        if "html" in self.how:
            return httpx2.Response(200, text="<html>maintenance</html>")
        return error(502, "bad gateway")


@dataclass
class Fault:
    """``when``: seconds after the beginning."""

    name: str
    when: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        told = " ".join(
            f"{k}={v:.0f}" if isinstance(v, float) else f"{k}={v}" for k, v in self.facts.items()
        )
        return f"{self.when:8.0f} s  {self.name}  {told}".rstrip()


@dataclass
class Schedule:
    seed: int
    settings: dict[str, str]
    plans: list[SimpleNamespace]
    faults: list[Fault]
    delays: list[float]
    grain: float

    def lines(self) -> list[str]:
        settings = " ".join(f"{k} {v}" for k, v in self.settings.items())
        pods = [
            f"{p.how}, up after {p.pull:.0f} s, {p.steps} x {p.pace:.0f} s{p.note}"
            for p in self.plans
        ]
        return [
            f"seed {self.seed}: {settings}",
            *(f"  pod {n}: {text}" for n, text in enumerate(pods)),
            *(f"  {fault}" for fault in sorted(self.faults, key=lambda f: f.when)),
            f"  the user looks again after {', '.join(f'{d:.0f}' for d in self.delays)} s",
        ]


def draw(seed: int) -> Schedule:
    rng = Random(seed)
    settings = {
        "--max-cost": rng.choice(["0.3", "0.5", "2"]),
        "--max-hours": rng.choice(["0.5", "0.75", "1.5"]),
        "--grace": rng.choice(["2", "15"]),
        "--on-deadline": rng.choice(["stop", "stop", "stop", "delete"]),
        "--on-interrupt": rng.choice(["detach", "detach", "stop"]),
    }
    plans = [_plan(rng, easy=n == 3) for n in range(4)]
    span = plans[0].pull + plans[0].steps * plans[0].pace + 60
    names = rng.choices(list(FAULTS), [FAULTS[n][0] for n in FAULTS], k=rng.randint(1, 6))
    faults = [Fault(name, rng.uniform(0, span * 1.3), FAULTS[name][1](rng)) for name in names]
    delays = [rng.choice([5.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 30 * 3600.0]) for _ in range(8)]
    if seed % 8 == 5:
        # Nobody but the guard outside is left, and the user looks again long after the deadline.
        faults = [
            f for f in faults if f.name.startswith(("api", "link", "bill", "create", "fresh"))
        ]
        vars(plans[0]).update(how="well", steps=20, pace=60.0, hangs_at=0, fails_at=0, crashes_at=0)
        faults.append(Fault("left to the guard", plans[0].pull + rng.uniform(45, 900)))
        delays[0] = rng.choice([12 * 3600.0, 30 * 3600.0])
    grain = rng.choice([1.0, 2.0, 3.0])
    _draw_more(Random(f"more {seed}"), plans, faults, span)
    return Schedule(seed, settings, plans, faults, delays, grain)


def _draw_more(rng: Random, plans: list[SimpleNamespace], faults: list[Fault], span: float) -> None:
    """What was added later, from a chance of its own: a seed still draws what it was kept for."""
    what = rng.random()
    if what < 0.15:
        faults.append(Fault("pod in ERROR", rng.uniform(0, span * 1.3)))
    elif what < 0.18:
        plans[0].how = "no ssh"
    elif what < 0.20:  # every host gets the same image
        for plan in plans:
            plan.how = "bad image"
    elif what < 0.26:
        plans[0].dearer, plans[0].dearer_after = rng.choice([2.18, 30.0]), rng.uniform(60, 600)
        plans[
            0
        ].note += f", at {plans[0].dearer} times its rate after {plans[0].dearer_after:.0f} s"
    elif what < 0.31:
        plans[0].may = rng.choice(["stop", "terminate"])
        plans[0].note += f", its key may only {plans[0].may}"
    elif what < 0.36:
        faults.append(
            Fault("link slow", rng.uniform(0, span), {"rate": rng.choice([500.0, 5000.0])})
        )


def _plan(rng: Random, *, easy: bool) -> SimpleNamespace:
    how = "well" if easy or rng.random() < 0.75 else rng.choice(BOOTS)
    steps = rng.randint(4, 20)
    plan = SimpleNamespace(
        how=how,
        pull=rng.uniform(10, 120),
        door=rng.choice([0.0, 0.0, 5.0, 40.0]),
        steps=steps,
        pace=rng.choice([5.0, 20.0, 60.0]),
        checkpoint=rng.choice([2, 5, 100]),
        cuda="12.8" if how == "old driver" else "13.0",
        probe=(409, "running"),
        gpu_use=97,
        hangs_at=0,
        fails_at=0,
        crashes_at=0,
        dearer=1.0,
        dearer_after=0.0,
        may="",
        note="",
    )
    if not easy and rng.random() < 0.15:
        what = rng.choice(["hangs_at", "fails_at", "crashes_at"])
        setattr(plan, what, rng.randint(1, steps))
        plan.note = f", {what} {getattr(plan, what)}"
    if not easy and rng.random() < 0.04:
        plan.probe, plan.note = (403, "HTTP 403"), plan.note + ", its key may not act"
    return plan


def _span(rng: Random) -> dict[str, Any]:
    return {"lasts": rng.choice([20.0, 120.0, 900.0, 3600.0, 5 * 3600.0])}


def _few(rng: Random) -> dict[str, Any]:
    return {
        "count": rng.choice([1, 1, 2, 3, 8]),
        "method": rng.choice(["", "GET", "POST", "DELETE"]),
    }


def _none(rng: Random) -> dict[str, Any]:
    return {}


# Weight, and what is drawn for it.
FAULTS: dict[str, tuple[float, Callable[[Random], dict[str, Any]]]] = {
    "api 502": (2, _few),
    "api 502, acted": (3, _few),
    "api timeout": (2, _few),
    "api timeout, acted": (3, _few),
    "api html": (1, _few),
    "api outage": (2, _span),
    "api 429 storm": (2, lambda r: {"lasts": r.choice([30.0, 300.0]), "wait": r.choice([1, 20, 200])}),
    "create fails": (3, lambda r: {"how": r.choice(["502, acted", "timeout, acted", "timeout", "502"]), "count": r.choice([1, 2, 3])}),
    "fresh pods unseen": (2, lambda r: {"seconds": r.choice([5.0, 25.0, 60.0])}),
    "no capacity": (2, lambda r: {"card": r.choice([0, 1, 2]), "count": r.choice([1, 3])}),
    "no capacity to wake": (1, lambda r: {"count": r.choice([1, 2])}),
    "bill lags": (1, lambda r: {"seconds": r.choice([60.0, 7200.0])}),
    "trainer killed": (3, _none),
    "supervisor killed": (4, lambda r: {"after": r.choice([5.0, 30.0, 400.0]), "port": r.random() < 0.6, "new_key": r.random() < 0.3}),
    "pod's guard killed": (1, _none),
    "foreign host key": (2, _span),
    "host dies": (1, _none),
    "stopped in the console": (2, _none),
    "pod's disk full": (1, _span),
    "link down": (3, _span),
    "link cut": (2, lambda r: {"bytes": [r.randint(1, 600_000) for _ in range(r.randint(1, 4))]}),
    "link stalls": (1, lambda r: {"count": r.choice([1, 3])}),
    "launcher killed": (5, _none),
    "launcher killed writing": (5, lambda r: {"line": r.randint(1, 20), "how": r.choice(["before", "after", "torn"])}),
    "guard killed": (2, _none),
    "reboot": (1, _none),
    "laptop sleeps": (3, _span),
    "clock jumps": (1, lambda r: {"by": r.choice([-7200.0, -90.0, 90.0, 7200.0])}),
    "home disk full": (2, _span),
    "second launcher": (2, lambda r: {"verb": r.choice(["attach a", "train --resume a", "stop a", "fetch a", "reap", "ps"])}),
    "reap elsewhere": (1, _none),
    "Ctrl-C": (3, lambda r: {"count": r.choice([1, 1, 2])}),
}  # fmt: skip


class Strike:
    """Puts a schedule's faults into the world."""

    def __init__(self, cloud: Cloud, laptop: Laptop) -> None:
        self.cloud, self.laptop, self.clock = cloud, laptop, cloud.clock
        self.struck: list[str] = []
        self.quiet_from = self.clock.time

    def plan(self, fault: Fault) -> None:
        when = self.clock.begin + fault.when
        lasts = float(fault.facts.get("lasts", fault.facts.get("wait", 60)))
        self.quiet_from = max(self.quiet_from, when + lasts)
        self.clock.at(when, lambda: self.strike(fault))

    def strike(self, fault: Fault) -> None:
        facts, now, laptop, cloud = fault.facts, self.clock.time, self.laptop, self.cloud
        lasts = float(facts.get("lasts", 0))
        until = now + lasts
        up = [p for p in cloud.pods.values() if p.status == "RUNNING"]
        alive = [p for p in laptop.processes if not p.over]
        did: Any = True
        match fault.name:
            case "api outage":
                cloud.outages.append((now, until))
            case "api 429 storm":
                self._trouble("429", since=now, until=until, wait=facts["wait"])
            case "create fails":
                self._trouble(facts["how"], method="POST", left=facts["count"])
            case "fresh pods unseen":
                cloud.unseen = facts["seconds"]
            case "no capacity":
                cloud.none_free[cloud.gpus[facts["card"]]["id"]] = facts["count"]
            case "no capacity to wake":
                cloud.none_to_wake = facts["count"]
            case "bill lags":
                cloud.bill_lag = facts["seconds"]
            case "link down":
                laptop.cuts.append((now, until))
            case "link cut":
                laptop.cut_bytes += sorted(laptop.moved + n for n in facts["bytes"])
            case "link slow":
                laptop.slow = facts["rate"]
            case "link stalls":
                laptop.stalls += facts["count"]
            case "launcher killed writing":
                laptop.kill_at.append((facts["line"], facts["how"]))
            case "left to the guard":
                did = up and self._kill(alive)
                for pod in up if did else []:
                    pod.freeze()
            case "launcher killed":
                did = self._kill(alive)
            case "guard killed":
                did = self._kill(laptop.guards)
            case "reboot":
                did = self._kill([*alive, *laptop.guards])
            case "laptop sleeps":
                self.clock.nights.append((now, until))
                for pod in cloud.pods.values():
                    pod.cut_at = now
            case "clock jumps":
                laptop.skew += facts["by"]
                laptop.jumped = True
            case "home disk full":
                laptop.full = True
                self.clock.at(until, lambda: setattr(laptop, "full", False))
            case "second launcher":
                laptop.run(*facts["verb"].split())
            case "reap elsewhere":
                laptop.run("reap", state="elsewhere")
            case "Ctrl-C":
                did = [p for p in alive if p.interrupts]
                for process in did:
                    process.interrupts[-1].count += facts["count"]
            case name if name.startswith("api "):
                self._trouble(name, method=facts["method"], left=facts["count"])
            case _:
                did = up
                for pod in up:
                    self._to_pod(pod, fault, until)
        if did:
            self.struck.append(fault.name)

    def _kill(self, processes: list[Process]) -> bool:
        living = [process for process in processes if not process.over]
        for process in living:
            self.laptop.kill(process)
        return bool(living)

    def _trouble(self, how: str, **facts: Any) -> None:
        self.cloud.troubles.append(Trouble(how, clock=self.clock, **facts))

    def _to_pod(self, pod: Pod, fault: Fault, until: float) -> None:
        facts = fault.facts
        match fault.name:
            case "trainer killed" if pod.trainer is not None:
                pod.trainer.kill()
            case "supervisor killed":
                pod.restart(facts["after"], port=facts["port"], new_key=facts["new_key"])
            case "pod's guard killed":
                for child in pod.children:
                    if hasattr(child, "on_deadline"):
                        child.kill()
            case "foreign host key":
                pod.foreign_until = until
                pod.cut_at = self.clock.time
            case "host dies":
                pod.delete("host")
            case "pod in ERROR":
                pod.fail()
            case "stopped in the console":
                pod.stop()
            case "pod's disk full":
                pod.pod_disk_full_until = until
