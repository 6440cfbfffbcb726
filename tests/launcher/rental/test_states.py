"""Each state of a pod by each verb (states.toml), in virtual time, and each command that a message advises.

What RunPod's API allows in a state is the emulator's table, which is its specification's text: an action
that is not allowed is answered with 409 there as here.
"""

import re
import tomllib
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from launcher.errors import ConnectionLost, PodFailed
from launcher.rental import guard, receipt_and_reap
from launcher.request import Request
from launcher.runs import run_folder, status
from launcher.runs.run_state import read
from launcher.stop import stop
from launcher.train import train
from launcher.world import LONG
from trainer.contract.command.errors import Fault, Interrupted

TABLE = tomllib.loads((Path(__file__).parent / "states.toml").read_text("utf-8"))
CELLS = [(state, verb) for state, verbs in TABLE.items() for verb in verbs]
ADVISED = re.compile(r"launch (fetch|attach|stop|train --resume|reap) ((?:a|pod\d+)\b(?: --now)?)")
SILENCE = 12.0  # seconds, of a wait's first two minutes


class Driver:
    """A run whose pod has the job and has made two steps, and the ways to act on it."""

    def __init__(self, account, world, view, begin):
        self.account, self.world, self.view, self.begin = account, world, view, begin
        self.run = run_folder.Run("a", Path("runs/a").absolute())

    @property
    def pod(self):
        return next(iter(self.account.machines.values()))

    def leave_at_work(self):
        self.world.press = lambda: any(m.steps == 2 for m in self.account.machines.values())
        with pytest.raises(Interrupted):
            self.begin(on_interrupt="detach")
        self.world.press = lambda: False
        self.view.lines.clear()

    def become(self, state):
        pod, self.account.behaviour = self.pod, "good"
        match state:
            case "starting":
                pod.status, pod.port, pod.boots = "STARTING", pod.port + 1, pod.boots + 1
                self.account.plans.append((self.account.time + 40, lambda: self.up(pod)))
            case "stopped":
                self.account.end(pod, "EXITED")
            case "error":
                pod.status = "ERROR"
            case "gone":
                self.account.end(pod, "TERMINATED")
            case "unreachable":
                self.account.unreachable = True
            case "foreign":
                self.account.foreign = True

    def up(self, pod):
        if pod.status == "STARTING":
            pod.status = "RUNNING"
            self.account.boot(pod)

    def do(self, verb, state):
        if verb == "follow":
            self.account.behaviour = "good" if state == "running" else "hang"
            self.account.plans.append((self.account.time + 5, lambda: self.become(state)))
            return self.attach()
        self.become(state)
        return getattr(self, verb.replace("-", "_"))()

    def attach(self):
        return train(Request(resume="a", attach=True), world=self.world, view=self.view)

    def resume(self):
        return train(Request(resume="a"), world=self.world, view=self.view)

    def fetch(self):
        request = Request(resume="a", attach=True, start_stopped=True)
        return train(request, world=self.world, view=self.view)

    def stop(self):
        return stop("a", at_once=False, world=self.world, view=self.view)

    def stop_now(self):
        return stop("a", at_once=True, world=self.world, view=self.view)

    def reap(self):
        pods, lines = receipt_and_reap.reap([], world=self.world, view=self.view)
        self.view.lines += lines
        return pods

    def reap_late(self):
        deadline = self.pod.settings.gone_by
        with self.no_pod_acts():
            self.account.pass_time(deadline - self.account.time + 1)
            return self.reap()

    def ps(self):
        found = status.look(self.run, now=self.world.now())
        self.view.lines += status.ps_lines([found])
        return found

    def guard(self):
        with self.no_pod_acts():
            return guard.watch(self.run.folder, world=self.world, view=self.view)

    @contextmanager
    def no_pod_acts(self):
        """Inside, the pod's own end at its deadline fails."""
        self.account.live = lambda _: None
        yield
        del self.account.live


@pytest.fixture
def driver(account, world, view, begin):
    driver = Driver(account, world, view, begin)
    driver.leave_at_work()
    return driver


def test_every_state_has_every_verb_that_can_meet_it():
    assert set(TABLE) == {
        "running", "starting", "stopped", "error", "gone", "unreachable", "foreign",
    }  # fmt: skip
    for verb in ("attach", "stop-now", "reap", "ps", "guard"):
        assert all(verb in verbs for verbs in TABLE.values()), verb


@pytest.mark.parametrize(("state", "verb"), CELLS, ids=lambda one: one)
def test_a_verb_in_a_state(state, verb, driver):
    expected, pod, seen = TABLE[state][verb]
    ended: Fault | None = None
    found = None
    try:
        found = driver.do(verb, state)
    except Fault as fault:
        ended = fault
    told = "\n".join([ended.cause, ended.hint, *ended.faults]) if ended else ""
    kind = found.state if verb == "ps" and found else type(ended).__name__ if ended else ""
    assert kind == expected, f"{told}\n{driver.view.text}"
    assert ended is None or ended.hint
    assert driver.pod.status == pod, driver.view.text
    assert read(driver.run.journal).pods[0].seen == seen
    assert driver.account.forbidden == [], "an action that the pod's state does not allow"
    for advised in dict.fromkeys(ADVISED.findall("\n".join([told, *driver.view.lines[-3:]]))):
        if verb not in {"ps", "reap"} and advised[0] in {
            "fetch",
            "stop",
            "attach",
            "train --resume",
        }:
            carry_out(advised, driver, told)


def carry_out(advised, driver, told):
    """The command in that very state: it ends the pod or the run, and does not advise itself again."""
    verb, rest = advised
    ended: Fault | None = None
    try:
        match verb:
            case "fetch":
                driver.fetch()
            case "attach":
                driver.attach()
            case "train --resume":
                driver.resume()
            case "reap":
                receipt_and_reap.reap([rest], world=driver.world, view=driver.view)
            case "stop":
                driver.stop_now() if "--now" in rest else driver.stop()
    except Fault as fault:
        ended = fault
    again = f"launch {verb} {rest}"
    if ended is not None and driver.pod.status != "TERMINATED":
        assert again not in f"{ended.cause} {ended.hint}" or f"then: {again}" in ended.hint, again
    if verb in {"fetch", "stop", "reap"} and not (
        driver.account.foreign or driver.account.unreachable
    ):
        assert driver.pod.status == "TERMINATED", (
            f"{told}\nlaunch {verb} {rest}\n{driver.view.text}"
        )


@pytest.mark.parametrize("state", TABLE)
def test_no_wait_is_silent(state, driver, world, view):
    """The longest time between two lines, from the state's begin to the verb's end; training is no wait."""
    begun = world.now()
    times = [begun]
    view.heard = lambda: times.append(world.now())
    world.report = view.say
    with suppress(Fault):
        driver.do("attach", state)
    times.append(world.now())
    gaps = [b - a for a, b in pairwise(times) if a < begun + LONG - SILENCE]
    assert max(gaps) < SILENCE, view.text


def test_before_the_job_ssh_gets_three_minutes_and_the_cause_is_named(account, world, view, begin):
    account.unreachable = True
    started = world.now()
    with pytest.raises(PodFailed, match=r"cannot be reached over SSH for 3 minutes.*a firewall"):
        begin()
    assert world.now() - started < 260
    assert [pod.status for pod in account.machines.values()] == ["TERMINATED"]
    assert "host key" not in view.text


def test_a_start_is_not_silent(account, world, view, begin):
    account.system = []
    account.bad_key = False
    boot, account.boot = account.boot, lambda machine: None  # no log line for a minute and a half
    account.plans.append((account.time + 90, lambda: boot(next(iter(account.machines.values())))))
    begun = world.now()
    times = [begun]
    view.heard = lambda: times.append(world.now())
    world.report = view.say
    begin()
    assert max(b - a for a, b in pairwise(times)) < SILENCE, view.text
    assert "to show its host key in its log: 10 s, until " in view.text


def test_a_rate_above_the_quote_moves_the_deadlines_to_the_cap(account, world, view, begin):
    """Three times the rate: a third of the hours that the cap buys, counted from the pod's creation."""
    account.behaviour = "hang"
    account.plans.append((account.time + 30, lambda: setattr(account, "real_rate", 0.2788 * 3)))
    with pytest.raises(Fault, match="the time is up"):
        begin(max_cost=0.5, max_hours=6)
    pod = next(iter(account.machines.values()))
    state = read(run_folder.Run("a", Path("runs/a").absolute()).journal)
    assert state.pods[0].rate == pytest.approx(0.8364, abs=1e-4)
    assert state.pods[0].gone_by - pod.born == pytest.approx(0.5 / 0.8364 * 3600, abs=90)
    assert pod.ended is not None
    assert (pod.ended - pod.born) / 3600 * 0.8364 < 0.5
    assert "is billed $0.836/h, not the $0.278/h quoted" in view.text, view.lines


def test_a_bill_above_the_quote_is_said_and_counts(account, world, view, begin):
    """A rate of 2.18 times the quoted one was charged to a user of RunPod, with the quoted rate in the API."""
    account.billed_rate = 0.2788 * 2.18
    begin()
    assert "CHARGED MORE THAN QUOTED" in view.text
    run = run_folder.Run("a", Path("runs/a").absolute())
    pod = read(run.journal).pods[0]
    assert pod.charged == pytest.approx(2.18 * pod.cost_by_time(world.now()), rel=0.02)
    assert pod.cost(world.now()) == pod.charged


def test_a_pod_that_fails_before_its_events_were_read_is_not_deleted(driver):
    """A launcher that has just begun to follow does not know what is saved on the pod."""
    driver.account.behaviour = "hang"
    driver.account.plans.append((driver.account.time + 0.1, lambda: driver.become("error")))
    driver.world.connect = lambda *place, **named: (_ for _ in ()).throw(
        ConnectionLost("SSH to it: Connection refused")
    )
    with pytest.raises(PodFailed, match="is in state ERROR"):
        driver.attach()
    assert driver.pod.status == "ERROR"
