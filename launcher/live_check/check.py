"""The live check: a few short runs on a rented card, by the same story as ``launch train``.

First a tiny training, fetched and verified; on a card then a 3B model in bf16 and in NF4; last a run whose
launcher is killed. Every pod that was rented is deleted before this ends, also after an error or Ctrl-C.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher import secrets
from launcher.context import Context
from launcher.doctor import RENT, Finding, examine
from launcher.live_check import certificate, evidence, killed, sample_rows
from launcher.live_check.certificate import Certificate
from launcher.live_check.evidence import Record
from launcher.quote import measured
from launcher.rental.receipt_and_reap import ask_receipt
from launcher.request import Request
from launcher.runpod_api import BASE_URL, BASE_URL_VARIABLE, Api
from launcher.runs import run_state
from launcher.runs.run_folder import Run
from launcher.settings import FoundSettings, Settings
from launcher.stop import stop
from launcher.train import train
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import Fault, Interrupted, NotFound
from trainer.contract.job import from_sources

ACCOUNT = ("key", "api", "clock", "registry credentials")  # of launcher.doctor
TINY_HOURS, REAL_HOURS, KILLED_HOURS = 0.25, 0.35, 0.17
TINY_STEPS, REAL_STEPS, ENDLESS = 8, 8, 100_000
REAL = "qwen2.5-3b"
PRECISIONS = ("bf16", "nf4")


@dataclass
class LiveCheck:
    """One check, in ``folder``; ``runs`` are those that may have rented something."""

    folder: Path
    settings: Settings
    api: Api
    world: World
    view: View
    runs: list[Run] = field(default_factory=list)

    def tiny(self) -> tuple[list[Finding], Record]:
        data = sample_rows.write_short(self.folder / "short.jsonl")
        record, fault = self._train(
            "tiny", "tiny", [f"max_steps={TINY_STEPS}"], data, hours=TINY_HOURS
        )
        return evidence.of_training(record, fault), record

    def card(self, precision: str) -> Finding:
        """Speed and memory of a 3B model."""
        data = sample_rows.write_long(self.folder / "long.jsonl")
        sets = [f"precision={precision}", f"max_steps={REAL_STEPS}"]
        record, fault = self._train(precision, REAL, sets, data, hours=REAL_HOURS)
        known = {one.run: one for one in measured.read(self.world)}
        return evidence.of_card(f"card in {precision}", known.get(record.run.id), fault)

    def killed(self) -> Finding:
        run = self._run("killed")
        data = sample_rows.write_short(self.folder / "short.jsonl")
        job = ["--run-id", run.id, "--output", str(run.folder), "--data", str(data)]
        job += ["--recipe", "tiny", "--set", f"max_steps={ENDLESS}"]
        context = Context(self.world, self.view, self._capped(KILLED_HOURS, on_deadline="delete"))
        with self.world.interrupts(context.interrupts):
            return killed.check(run, job, api=self.api, context=context)

    def deletion(self) -> Finding:
        """Whether get and list show none of the pods that were rented."""
        pods = [
            pod.id
            for run in self.runs
            for pod in run_state.read_leniently(run.journal).pods
            if pod.id
        ]
        if not pods:
            return Finding("deletion", ok=None, detail="nothing was rented")
        left = [pod for pod in pods if not self.api.absent(pod)]
        if not left:
            return Finding(
                "deletion", ok=True, detail=f"get and list show none of {len(pods)} pods"
            )
        detail = f"still there: {', '.join(left)}"
        return Finding("deletion", ok=False, detail=detail, remedy="launch reap " + " ".join(left))

    def receipts(self) -> list[dict[str, Any]]:
        found = []
        for run in self.runs:
            with suppress(NotFound):  # it rented nothing
                found.append(ask_receipt(run.id, world=self.world, view=self.view)[0])
        return found

    def delete_pods(self) -> None:
        """Delete what a run that failed may have left."""
        for run in self.runs:
            if run_state.read_leniently(run.journal).living is None:
                continue
            try:
                stop(run.id, at_once=True, world=self.world, view=self.view)
            except (Interrupted, NotFound):
                pass  # how a stopped run ends
            except Fault as fault:
                self.view.say(f"{fault.cause} -> delete it with: launch stop {run.id} --now")

    def _train(
        self, name: str, recipe: str, sets: Sequence[str], data: Path, *, hours: float
    ) -> tuple[Record, Fault | None]:
        run = self._run(name)
        job = from_sources(recipe, sets, {"data": str(data), "output": str(run.folder)})
        try:
            request = Request(job=job, run_id=run.id, where="runpod", settings=self._capped(hours))
            train(request, world=self.world, view=self.view)
        except Interrupted:
            raise
        except Fault as fault:
            return Record(run), fault
        return Record(run), None

    def _run(self, name: str) -> Run:
        run = Run(f"{self.folder.name}-{name}", self.folder / name)
        self.runs.append(run)
        return run

    def _capped(self, hours: float, **changes: Any) -> Settings:
        """The settings with what is left of the money, and at most ``hours``."""
        spent = sum(
            run_state.read_leniently(run.journal).spent(self.world.now()) for run in self.runs
        )
        changes |= {
            "max_cost": max(self.settings.max_cost - spent, 0.001),
            "max_hours": min(self.settings.max_hours, hours),
            "on_interrupt": "stop",
            "volume": None,
        }
        return self.settings.model_copy(update=changes)


def run(found: FoundSettings, *, folder: Path, world: World, view: View) -> Certificate:
    """Make every check, write the certificate into ``folder`` and return it. Raises ``Interrupted``."""
    findings = examine(found, world=world, groups=(RENT,))
    findings = [one for one in findings if one.what in ACCOUNT]
    receipts: list[dict[str, Any]] = []
    runs: list[Run] = []
    card = found.settings.gpu
    if all(one.ok is not False for one in findings):
        with world.api(secrets.runpod(world).value) as api:
            check = LiveCheck(folder.absolute(), found.settings, api, world, view)
            runs = check.runs
            with _deleting(check):
                trained, record = check.tiny()
                card = record.device if record.on_card else card
                findings += [*trained, *_the_rest(check, record, trained)]
            findings.append(check.deletion())
            receipts = check.receipts()
            if receipts:
                findings.append(evidence.of_bill(receipts, runs[0].id))
    ids = {run.id for run in runs}
    made = certificate.make(
        findings,
        now=world.now(),
        api=world.variable(BASE_URL_VARIABLE) or BASE_URL,
        card=card,
        measured=[one for one in measured.read(world) if one.run in ids],
        receipts=receipts,
        paths={folder.absolute(): "live-check", world.home(): "~"},
    )
    made.write(folder)
    return made


def _the_rest(check: LiveCheck, record: Record, trained: Sequence[Finding]) -> list[Finding]:
    """The checks that rent more pods; none is rented after a training that broke something."""
    names = {f"card in {precision}": precision for precision in PRECISIONS}
    if any(one.ok is False for one in trained):
        return [Finding(what, ok=None, detail="not reached") for what in (*names, killed.WHAT)]
    if record.on_card:
        return [*(check.card(precision) for precision in PRECISIONS), check.killed()]
    why = f"no card: the pod trained on {record.device}"
    return [*(Finding(what, ok=None, detail=why) for what in names), check.killed()]


@contextmanager
def _deleting(check: LiveCheck) -> Iterator[None]:
    try:
        yield
    finally:
        check.delete_pods()
