"""``launch reap``: stop or delete abandoned pods, from any machine that has the key."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from launcher.errors import BrokenJournal
from launcher.rental.end_billing import end_billing
from launcher.runpod_api import Api, Pod
from launcher.runs import run_folder
from launcher.runs.rented_pods import Name, machine_id
from launcher.runs.run_state import read
from launcher.runs.status import look
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import Fault, Locked, NotFound

OVER = {"finished", "failed", "interrupted", "dead"}


@dataclass(frozen=True)
class JudgedPod:
    """A pod that launch rented, and the action for it: ``delete``, ``stop`` or ``keep``."""

    pod: str
    name: str
    run: str
    status: str
    rate: float
    gone_by: float
    here: bool
    action: str
    why: str

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def judge(pods: Sequence[Pod], *, world: World) -> list[JudgedPod]:
    """The action for each pod whose name launch has given.

    A pod past its deadline, or of a run of this machine that has ended, is deleted if its result is
    downloaded, else stopped. A stopped pod that may hold a result is kept.
    """
    known = {run.id: run for run in run_folder.index(world=world)}
    machine = machine_id(world)
    found: list[JudgedPod] = []
    for pod in pods:
        name = Name.parse(pod.name)
        if name is None:
            continue
        here = name.machine == machine and name.run in known
        fetched = over = False
        unknown = ""
        if here:
            run = known[name.run]
            try:
                newest = read(run.journal).pod
                fetched = newest is not None and newest.fetched and newest.name == pod.name
                over = newest is None or newest.released or newest.name != pod.name
                over = over or look(run, now=world.now()).state in OVER
            except BrokenJournal as fault:
                unknown = fault.cause
        late = world.now() > name.gone_by
        action, why = _decide(pod, name, here=here, late=late, over=over, fetched=fetched)
        why = (unknown or why) if action == "keep" else why
        found.append(
            JudgedPod(
                pod=pod.id,
                name=pod.name,
                run=name.run,
                status=pod.status,
                rate=pod.rate,
                gone_by=name.gone_by,
                here=here,
                action=action,
                why=why,
            )
        )
    return found


def _decide(
    pod: Pod, name: Name, *, here: bool, late: bool, over: bool, fetched: bool
) -> tuple[str, str]:
    """The action for a pod, and the reason, which names the command for what is kept."""
    fetch = f"launch fetch {name.run}, or " * here
    if not late and not over:
        if pod.stopped:
            return "keep", f"stopped by itself, may hold a result: {fetch}launch reap {pod.id}"
        if pod.failed:
            return "keep", f"in state ERROR and billed: {fetch}launch reap {pod.id}"
        return "keep", "its run is running" if here else "before its deadline"
    if fetched:
        return "delete", "its result is downloaded"
    if pod.stopped:
        return "keep", f"stopped, may hold a result: {fetch}launch reap {pod.id}"
    why = "past its deadline" if late else "its run has ended"
    if pod.failed:
        return "delete", f"{why}; in state ERROR it cannot be stopped and is billed"
    return "stop", why


def _note(item: JudgedPod, *, world: World) -> None:
    """Note the deletion in the run's journal, so that its guard ends; a running launcher notices by itself."""
    run = next((run for run in run_folder.index(world=world) if run.id == item.run), None)
    if not item.here or run is None:
        return
    with suppress(Locked, BrokenJournal), run_folder.hold(run, world=world) as log:
        if log.state.living and log.state.living.id == item.pod:
            log.fact("gone", pod=item.pod, reason="deleted by launch reap")


def reap(named: Sequence[str], *, api: Api, world: World, view: View) -> list[JudgedPod]:
    """Delete or stop what ``judge`` chose, and delete the pods in ``named`` (id or name)."""
    judged = judge(api.pods(), world=world)
    ours = {item.pod: item for item in judged} | {item.name: item for item in judged}
    for wanted in named:
        if wanted not in ours:
            raise NotFound(f"no rented pod {wanted!r}", "list the rented pods with: launch reap")
    chosen = {ours[wanted].pod for wanted in named}
    remaining: list[JudgedPod] = []
    faults: list[Fault] = []
    for item in judged:
        delete = item.pod in chosen or item.action == "delete"
        try:
            if delete:
                view.say(f"deleting pod {item.pod} of run {item.run}")
                api.release(item.pod)
            elif item.action == "stop":
                view.say(f"stopping pod {item.pod} of run {item.run}: {item.why}")
                delete = end_billing(item.pod, api, world) != "stopped"
        except Fault as fault:  # of this pod; the others are still billed
            view.say(f"{fault.cause}: {fault.hint}")
            faults.append(fault)
            delete = False
        if delete:
            _note(item, world=world)
        else:
            remaining.append(item)
    if faults:
        raise faults[0]
    return remaining
