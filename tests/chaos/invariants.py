"""What must hold after any schedule."""

import hashlib
import json
import re
from collections import Counter
from math import inf

from launcher.runs import run_folder
from launcher.runs.journal import Entry, read
from launcher.runs.rented_pods import Name
from launcher.runs.run_state import RunState
from tests.chaos.cloud import Cloud
from tests.chaos.laptop import Laptop, Process
from tests.chaos.pod import Pod
from tests.chaos.schedule import Schedule
from trainer.contract import manifest
from trainer.contract.command.errors import Fault

STOP = 60.0
"""Seconds before what was asked for that a pod is told to be gone: a stop takes its time."""
WOKEN = 3600.0
"""Seconds that a stopped pod may be up to be fetched from, as users are told; and the guard's own."""
GUARD = 120.0
AGAIN = 400.0
"""Seconds until a pod that was refused its stop has asked again."""
KNOWN = {0, *(kind.exit_code for kind in Fault.__subclasses__())}


def broken(cloud: Cloud, laptop: Laptop, run: run_folder.Run, schedule: Schedule) -> list[str]:
    dues = {pod: instant - STOP for pod, instant in asked(cloud, schedule).items()}
    faults = [text for pod, due in dues.items() for text in told(pod, due + STOP)]
    kept = {pod: due for pod, due in dues.items() if not nobody_left(pod, laptop, due)}
    faults += [text for pod, due in kept.items() for text in billed(cloud, pod, due)]
    faults += within_the_cap(cloud, schedule, kept)
    faults += within_the_cap_at_a_higher_rate(cloud, laptop, schedule)
    faults += results(cloud, laptop, run)
    killed = any(p.actor.dead for p in (*laptop.processes, *laptop.guards))
    full = any(fault.name == "home disk full" for fault in schedule.faults)
    faults += journal(cloud, laptop, run, cut_short=killed or full)
    faults += outcome(laptop, run)
    faults += one_card_for_a_bad_image(cloud, laptop)
    faults += [text for process in laptop.processes for text in messages(process)]
    return faults


def one_card_for_a_bad_image(cloud: Cloud, laptop: Laptop) -> list[str]:
    """An image that fails everywhere rents one card a command."""
    bad = [pod for pod in cloud.pods.values() if pod.plan.how == "bad image"]
    commands = sum(process.argv[0] == "train" for process in laptop.processes)
    return [f"{len(bad)} pods for an image that cannot start"] * (len(bad) > commands)


def at_home(pod: Pod, run: run_folder.Run) -> bool:
    """Whether a finished adapter of the pod lies in the run folder, byte for byte; True without one."""
    if pod.finished is None:
        return True
    for folder in (run.adapter, *run.folder.glob("attempt-*/adapter")):
        found = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*")}
        if found == pod.finished:
            return True
    return False


def asked(cloud: Cloud, schedule: Schedule) -> dict[Pod, float]:
    """Until when the user's caps last for each pod: from what was typed, when it was made and what the
    earlier ones cost until then, and from nothing that the launcher worked out.
    """
    cap, hours = float(schedule.settings["--max-cost"]), float(schedule.settings["--max-hours"])
    found: dict[Pod, float] = {}
    for pod in sorted(cloud.pods.values(), key=lambda pod: pod.number):
        (made, _), *_ = pod.held
        assert made is not None
        found[pod] = made + min(hours, max(0.0, cap) / cloud.rate(pod)) * 3600
        # A pod that outlives its own deadline is a fault of its own, or excused.
        cap -= (min(pod.held[0][1] or inf, found[pod] - STOP) - made) / 3600 * cloud.rate(pod)
    return found


def told(pod: Pod, due: float) -> list[str]:
    """No pod is told, by name or environment, a later deadline than was asked for."""
    name = Name.parse(pod.name)
    latest = max(pod.settings.gone_by, float(name.gone_by) if name else 0.0)
    if latest <= due:
        return []
    return [f"{pod.id} was told a deadline {latest - due:.0f} s later than was asked for"]


def excused(cloud: Cloud, instant: float) -> float:
    """When a stop that is due at ``instant`` must have happened, with the API as it was."""
    until = instant + STOP
    troubled = [(t.since, min(t.until, instant + 3600)) for t in cloud.troubles_had if t.since]
    for since, end in sorted([*cloud.outages, *troubled]):
        if since < until and end > instant:
            until = max(until, end + AGAIN)
    few = any(not t.since for t in cloud.troubles_had)
    return until + AGAIN * few


def nobody_left(pod: Pod, laptop: Laptop, due: float) -> bool:
    """Whether no supervisor came to life in the pod, or none lives any more, and no guard was there outside at its deadline,
    or none whose clock was right.

    What no promise covers: "as far as the pod may act on itself".
    """
    asleep = any(since - STOP < due < until for since, until in laptop.clock.nights)
    killed = any(guard.actor.dead for guard in laptop.guards)
    helpless = pod.actor is None or pod.frozen or pod.failed or pod.plan.probe[0] in {401, 403}
    return helpless and (asleep or killed or laptop.jumped)


def billed(cloud: Cloud, pod: Pod, first: float) -> list[str]:
    """No GPU past the deadline."""
    faults = []
    for number, (since, until) in enumerate(pod.held):
        assert since is not None
        due = first if number == 0 else max(first, since + WOKEN + GUARD)
        if until is None and cloud.clock.time < due:
            continue
        end = until if until is not None else cloud.clock.time
        if end > excused(cloud, due):
            faults.append(f"{pod.id} was billed {end - due:.0f} s past its deadline ({pod.status})")
    return faults


def within_the_cap_at_a_higher_rate(cloud: Cloud, laptop: Laptop, schedule: Schedule) -> list[str]:
    """A pod that is billed at more than the quoted rate costs the cap and ten minutes at most, while a launcher or
    the guard looks at it and the API answers.
    """
    blind = any(p.actor.dead for p in (*laptop.processes, *laptop.guards)) or laptop.jumped
    if blind or laptop.clock.nights or cloud.troubles_had or cloud.outages or laptop.full:
        return []
    cap, faults = float(schedule.settings["--max-cost"]), []
    for pod in cloud.pods.values():
        (since, until), *_ = pod.held
        seconds = (until if until is not None else cloud.clock.time) - (since or 0.0)
        after = max(0.0, seconds - pod.plan.dearer_after) * pod.plan.dearer
        cost = (min(seconds, pod.plan.dearer_after) + after) / 3600 * cloud.rate(pod)
        if pod.plan.dearer > 1 and cost > cap + cloud.rate(pod) * pod.plan.dearer / 6:
            faults.append(f"{pod.id} cost ${cost:.2f} at its real rate, the cap is ${cap:.2f}")
    return faults


def within_the_cap(cloud: Cloud, schedule: Schedule, kept: dict[Pod, float]) -> list[str]:
    cap = float(schedule.settings["--max-cost"])
    cost = slack = 0.0
    for pod, due in kept.items():
        for number, (since, until) in enumerate(pod.held):
            end = until if until is not None else cloud.clock.time
            if number == 0:
                cost += (end - (since or 0.0)) / 3600 * cloud.rate(pod)
        slack += (excused(cloud, due) - due) / 3600 * cloud.rate(pod)
    if cost > cap * 1.02 + slack:
        return [f"${cost:.3f} were billed, the cap is ${cap:.2f} (and ${slack:.3f} of excuses)"]
    return []


def results(cloud: Cloud, laptop: Laptop, run: run_folder.Run) -> list[str]:
    """Every finished adapter is at home, or on a stopped pod that the user is told of."""
    faults = [
        f"{pod.id} was deleted by {by} with an adapter that is not at home"
        for pod, by, home in cloud.deletes
        if not home and not thrown_away(laptop)
    ]
    last = {pod: text for pod in cloud.pods for text in [laptop.processes[-1].text] if pod in text}
    for pod in cloud.pods.values():
        if pod.status == "TERMINATED" or at_home(pod, run):
            continue
        if pod.status != "EXITED":
            faults.append(f"{pod.id} is {pod.status} with an adapter that is not at home")
        elif pod.id not in last:
            faults.append(f"{pod.id} is stopped with an adapter, and launch reap does not say so")
        elif pod is [*cloud.pods.values()][-1]:
            faults.append(f"the adapter on {pod.id} was not brought home by launch fetch")
    return faults


def outcome(laptop: Laptop, run: run_folder.Run) -> list[str]:
    """The last ``launch fetch`` says 0 exactly where a whole result is at home."""
    try:
        whole = manifest.verify(run.folder).complete
    except Fault:
        whole = False
    code = laptop.processes[-2].code
    if whole == (code == 0):
        return []
    return [
        f"launch fetch ends with {code}, {'with' if whole else 'without'} a whole result at home"
    ]


def thrown_away(laptop: Laptop) -> bool:
    """Whether the user asked for a pod's end, result or not."""
    return any("--now" in p.argv or (p.argv[0] == "reap" and p.argv[1:]) for p in laptop.processes)


def released(cloud: Cloud, run: run_folder.Run) -> list[str]:
    """What the journal calls released is not there; to be asked before anybody reaps."""
    state = RunState(read(run.journal))
    if not state.names or state.living:
        return []
    left = [pod for pod in cloud.pods.values() if pod.status != "TERMINATED"]
    return [f"released, says the journal, and {pod.id} is {pod.status}" for pod in left]


def unsettled(entries: list[Entry]) -> list[str]:
    """The effects that were begun, and of which it is not said how they ended."""
    open_: Counter[str] = Counter()
    for entry in entries:
        open_[entry.what] += {"intent": 1, "done": -1, "failed": -1, "fact": 0}[entry.stage]
    return sorted(+open_)


def journal(cloud: Cloud, laptop: Laptop, run: run_folder.Run, *, cut_short: bool) -> list[str]:
    """Readable; every effect has its outcome unless a process was cut short, and run.json is derived
    from it; no pod lives that it does not know.
    """
    if not run.journal.exists():
        return ["pods without a journal"] if cloud.pods else []
    faults = []
    for number, text in enumerate(run.journal.read_bytes().split(b"\n")[:-1], 1):
        try:
            json.loads(text)
        except ValueError:
            faults.append(f"journal.jsonl:{number} cannot be read: {text[:60]!r}")
    entries = read(run.journal)
    state = RunState(entries)
    derived = json.loads(json.dumps(state.summary))
    if not cut_short:
        faults += [f"the {what} that was begun has no outcome" for what in unsettled(entries)]
        if json.loads(run.summary.read_bytes()) != derived:
            faults.append("run.json is not what the journal says")
    for pod in cloud.pods.values():
        name = Name.parse(pod.name)
        if name is None or pod.name not in state.names:
            faults.append(f"{pod.id} ({pod.name}) is not in the journal")
        elif pod.status in {"PROVISIONING", "STARTING", "RUNNING"}:
            faults.append(f"{pod.id} is {pod.status} long after everything")
    return faults


def messages(process: Process) -> list[str]:
    """A known exit code, a cause, a next step; never a traceback."""
    shown = f"launch {' '.join(process.argv)}"
    if process.code is None:
        return []
    text = process.text
    faults = []
    if process.code not in KNOWN:
        faults.append(f"{shown} ends with {process.code}: {text[-300:]!r}")
    if "Traceback" in text or "internal error" in text:
        faults.append(f"{shown} shows {text[-300:]!r}")
    if process.code not in {0, 130}:
        end = text[text.rfind("error:") :] if "error:" in text else ""
        if not re.search(r"^  -> \S", end, re.MULTILINE):
            faults.append(f"{shown} names no next step: {text[-300:]!r}")
    if "CANARY" in text:
        faults.append(f"{shown} shows a secret")
    return faults
