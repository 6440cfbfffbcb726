"""A rented pod: started, given its job, followed, its result downloaded, then deleted."""

from collections.abc import Callable
from contextlib import suppress
from math import inf

from launcher.errors import ConnectionLost, NoCapacity, PodFailed, PodRefused
from launcher.quote.run_cost import at
from launcher.rental import boot, checkpoint, transfer
from launcher.rental.boot import BadHost
from launcher.rental.connection import Reach
from launcher.rental.delete import release, show_receipt
from launcher.rental.upload import hand_over
from launcher.runpod_api import Api
from launcher.runs.rented_pods import Rented, rented
from launcher.runs.run_folder import Log, Run
from launcher.scene import Scene
from trainer.contract import episodes, events, manifest
from trainer.contract import pod as border
from trainer.contract.command.errors import Fault, Interrupted, NotFound, ResultRejected
from trainer.contract.job import Job

PAUSE = 0.5  # seconds between two looks
AFTER_LOSS = 5.0
PROBED = 60.0  # seconds that a pod has to prove what its key may do
BILL = 6.0  # seconds that the end of a run waits for the bill
STOP = (
    "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | "
    "grep -q -- '[-]m trainer .*job[.]json' && kill -{signal} ${{p#/proc/}}; done; true"
)


class PodWork:
    """The work on one pod. ``stopped``: the pod was found stopped, with its results on its disk. ``another``
    rents a replacement for a pod whose host does not start it, and raises when no card is left. ``guard``
    starts a guard for a pod that is started again.
    """

    pid: int | None = None

    def __init__(
        self,
        run: Run,
        pod: Rented,
        scene: Scene,
        api: Api,
        log: Log,
        *,
        stopped: bool = False,
        another: Callable[[], Rented] | None = None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._run = run
        self._take(pod)
        self._another = another
        self._guard = guard
        self._scene = scene
        self._api = api
        self._log = log
        self._stopped = stopped
        self._reach = Reach(api, run, pod, scene)
        self._offset = 0
        self._next = float("-inf")
        self._over = False
        self._taken = False
        self._evaluated = False
        self._lost_since: float | None = None

    def _take(self, pod: Rented) -> None:
        assert pod.pod is not None
        self._pod = pod
        self._pod_id = pod.pod

    # Up to the start of training

    def prepare(self, job: Job, *, resume: bool) -> None:
        self._evaluated = job.evaluate is not None
        if self._at_home():
            self._over = True
            return
        if self._stopped:
            self._wake()
        if self._pod.handed_over:
            return
        try:
            self._come_up()
            self._must_be_guarded()
            hand_over(
                self._run,
                job,
                self._reach,
                self._log,
                self._scene,
                offset=self._begun_at(),
                resume=resume,
            )
        except Exception as error:
            self._scene.view.say("training has not started: deleting the pod")
            self._give_up(error)
            raise

    def _begun_at(self) -> int:
        """Where this pod's training begins in events.jsonl: as journalled, if its start was begun."""
        offset: int | None = None
        for entry in self._log.entries:
            if entry.what == "rent" and entry.stage == "intent":
                offset = None
            elif entry.what == "start" and entry.stage == "intent":
                offset = int(entry.facts["offset"])
        return events.read(self._run.events)[1] if offset is None else offset

    def _give_up(self, error: Exception) -> None:
        try:
            self.release()
        except Fault as fault:
            raise PodFailed(
                f"{error}; and pod {self._pod_id} could not be deleted: {fault.cause}",
                f"its deadline is {at(self._pod.gone_by)}; delete it now with: launch stop {self._run.id}",
            ) from None

    def _come_up(self) -> None:
        """Start the pod; rent another one if the host is the cause of a failure."""
        while True:
            try:
                self._bring_up()
                self._must_have_a_driver()
                return
            except BadHost as fault:
                if self._another is None:
                    raise
                self._scene.view.say(f"{fault.cause}: deleting it, then trying another card")
                self._reach.close()
                release(self._run, self._scene, self._api, self._log, reason=fault.cause)
                self._take(self._another())

    def _must_have_a_driver(self) -> None:
        """Raise ``BadHost`` if the host's driver is older than the API reported."""
        needed = self._scene.settings.cuda
        told = self._reach.link.ask(lambda session: session.run("nvidia-smi"))
        if old := boot.driver_too_old(told.stdout.decode(errors="replace"), needed):
            raise BadHost(
                f"pod {self._pod_id} has a driver for CUDA {old}, the image needs {needed}",
                "try again, or choose another card",
            )

    def _bring_up(self, *, most_boots: float = boot.MOST_BOOTS) -> None:
        door = boot.wait(self._api, self._pod_id, self._run.id, self._scene, most_boots=most_boots)
        self._log.fact("up", host=door.endpoint.host, port=door.endpoint.port, boot=door.boot)
        self._reach = Reach(self._api, self._run, self._pod, self._scene, door)
        self._scene.view.say(f"pod {self._pod_id} is up; its SSH host key matches its log")

    def _must_be_guarded(self) -> None:
        """Wait for the pod's report whether it can stop itself; without that ``unguarded`` must be set."""
        world, give_up = self._scene.world, self._scene.world.now() + PROBED
        said = f"{border.MAY_NOT_ACT}: no answer within {PROBED:.0f} s"
        there = f"{border.run_folder(self._run.id)}/events.jsonl"
        while world.now() < give_up:
            transfer.mirror(self._reach.link, there, self._run.events)
            seen, _ = events.read(self._run.events)
            told = [e for e in seen if isinstance(e, events.Phase) and e.name == "probed"]
            if told:
                said = told[-1].detail
                break
            if self._scene.interrupted:
                raise Interrupted("interrupted before training began")
            world.sleep(PAUSE)
        if said.startswith(border.MAY_NOT_ACT) and not self._scene.settings.unguarded:
            raise PodRefused(
                f"the pod cannot stop itself at its deadline: it {said}",
                "if this machine is off at the deadline, the pod stays billed; to accept that, with only "
                "the guard on this machine and launch reap: --unguarded yes",
            )

    def _wake(self) -> None:
        """Start a stopped pod, which keeps its results. Raises ``PodFailed`` unless ``launch fetch`` was called."""
        if not self._scene.wake:
            raise PodFailed(
                f"pod {self._pod_id} is stopped; its results are on its disk",
                f"download them and delete the pod with: launch fetch {self._run.id}",
            )
        with self._log.effect("wake", pod=self._pod_id):
            self._guard()
            try:
                self._api.start(self._pod_id)
            except NoCapacity as fault:
                raise NoCapacity(
                    fault.cause,
                    "the pod's host has no card free now; its results stay on its disk, "
                    f"try again later: launch fetch {self._run.id}",
                ) from None
        try:
            self._bring_up(most_boots=inf)
        except Exception:
            with suppress(NotFound):  # a pod without a job deletes itself
                self._api.stop(self._pod_id)
            raise

    # While it trains

    def alive(self) -> bool:
        world = self._scene.world
        if self._over or world.now() < self._next:
            return not self._over
        self._next = world.now() + PAUSE
        self._reach.patient = False
        try:
            self._sync()
            if self._lost_since is not None:
                self._scene.view.say("the pod is reachable again")
                self._lost_since = None
        except ConnectionLost as fault:
            if self._lost_since is None:
                self._lost_since = world.now()
                self._scene.view.say(f"{fault.cause}; the pod keeps training, connecting again")
            self._next = world.now() + AFTER_LOSS
        finally:
            self._reach.patient = True
        return not self._over

    def _sync(self) -> None:
        """Mirror events and log; note how far the pod is."""
        there = border.run_folder(self._run.id)
        transfer.mirror(self._reach.link, f"{there}/events.jsonl", self._run.events)
        transfer.mirror(self._reach.link, f"{there}/train.log", self._run.log)
        seen, self._offset = events.read(self._run.events, self._offset)
        for event in seen:
            match event:
                case events.Phase(name="accepted"):
                    self._taken = True
                case events.Warning() if not self._taken:
                    self._must_not_be_refused(event.message)
                case events.Phase(name="ready" | "released") | events.Released():
                    self._over = True
                case _:
                    pass

    def _must_not_be_refused(self, reason: str) -> None:
        refused = f"{border.inbox(self._run.id)}/{border.JOB_REJECTED}"
        if self._reach.link.ask(lambda session: session.size(refused)) is not None:
            self.release()
            raise PodRefused(
                f"the pod rejected the job and was deleted: {reason}",
                f"correct that, then resume with: launch train --resume {self._run.id}",
            )

    def exit_code(self) -> int | None:
        return None

    def stop(self) -> None:
        self._signal("TERM")

    def kill(self) -> None:
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        self._reach.link.ask(lambda session: session.run(STOP.format(signal=name)))

    def leave(self) -> str | None:
        if self._scene.settings.on_interrupt == "stop":
            return None
        pod, now = self._pod, self._scene.world.now()
        most = float(pod.facts.get("most", 0.0))
        stops = self._scene.settings.on_deadline == "stop"
        then = "stops (disk kept)" if stops else "deletes itself"
        return (
            f"detached: pod {self._pod_id} keeps training, saves by {at(float(pod.facts['finish_by']))} "
            f"and {then} by {at(pod.gone_by)}; ${pod.cost(now):.2f} so far, at most ${most:.2f}"
        )

    # Download and deletion

    def fetch(self) -> bool:
        if self._at_home():
            return True
        run, link = self._run, self._reach.link
        there = str(border.run_folder(run.id))
        try:
            raw = link.ask(lambda session: b"".join(session.stream(f"{there}/{manifest.NAME}")))
        except NotFound:
            self._fetch_checkpoint()
            return False
        proof = manifest.parse(raw, source=f"{manifest.NAME} on pod {self._pod_id}")
        total = sum(file.size for file in proof.files.values())
        done = 0

        def got(count: int) -> None:
            nonlocal done
            done += count
            self._scene.view.progress("download (bytes)", min(done, total), total)

        if self._evaluated and proof.complete:
            self._fetch_evaluation()
        with self._log.effect("fetch", files=len(proof.files), bytes=total):
            transfer.download(link, there, run.folder, proof.files, got=got)
            new = run.manifest.with_name(f".{manifest.NAME}.new")
            new.write_bytes(raw)
            new.replace(run.manifest)
            manifest.verify(run.folder)
        if not proof.complete:
            self._fetch_checkpoint()
        return True

    def _fetch_evaluation(self) -> None:
        """Download the results of the evaluation, also partial ones. The adapter does not depend on them."""
        there = str(border.run_folder(self._run.id))
        try:
            with self._log.effect("evaluation") as outcome:
                found = transfer.hashes(self._reach.link, there, episodes.RESULTS)
                # The pod chooses the names: accept only these, so that it cannot write other files of the run folder.
                files = {k: v for k, v in found.items() if k.split("/")[0] in episodes.RESULTS}
                transfer.download(self._reach.link, there, self._run.folder, files)
                outcome["files"] = len(files)
        except (ResultRejected, PodRefused, NotFound) as fault:
            self._scene.view.say(f"the evaluation cannot be downloaded: {fault.cause}")

    def _fetch_checkpoint(self) -> None:
        """Download the checkpoint from which a resumed run continues in another pod."""
        with self._log.effect("checkpoint") as outcome:
            outcome["brought"] = checkpoint.bring_home(self._run, self._reach)

    def _at_home(self) -> bool:
        """Whether the result lies here, whole."""
        what = rented(self._log.entries)
        if what is None or not what.fetched:
            return False
        try:
            manifest.verify(self._run.folder)
        except (NotFound, ResultRejected):
            return False
        return True

    def release(self) -> None:
        self._reach.close()
        reason = "fetched" if self._at_home() else "ended without a result"
        release(self._run, self._scene, self._api, self._log, reason=reason)
        show_receipt(self._run, self._scene, self._api, self._log, patience=BILL)
