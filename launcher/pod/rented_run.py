"""A rented pod as the machine of a run: started, given its job, followed, its result downloaded, deleted."""

from collections.abc import Callable

from launcher.errors import PodFailed
from launcher.pod import download, start
from launcher.pod.connection import PodConnection
from launcher.pod.mirror import Mirror
from launcher.pod.upload import upload_job
from launcher.quote.run_cost import at
from launcher.rental.delete import release, show_receipt
from launcher.rental.rental_context import Rental
from launcher.runs.status import resume_hint
from trainer.contract import events
from trainer.contract.command.errors import Fault
from trainer.contract.job import Job

BILL = 6.0  # seconds that the end of a run waits for the bill
STOP = (
    "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | "
    "grep -q -- '[-]m trainer .*job[.]json' && kill -{signal} ${{p#/proc/}}; done; true"
)


class RentedRun:
    """The work on the newest pod of a run. ``stopped``: the pod was found stopped, with its results on its
    disk. ``another`` rents a replacement for a pod whose host does not start it, and raises when no card is
    left; it is None for a pod that an earlier launcher rented. ``guard`` starts a guard for a pod that is
    started again.
    """

    pid: int | None = None
    lost: str | None = None

    def __init__(
        self,
        rental: Rental,
        *,
        stopped: bool = False,
        another: Callable[[], None] | None = None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._rental = rental
        self._stopped = stopped
        self._another = another
        self._guard = guard
        self._evaluated = False
        self._saving = False
        self._follow(PodConnection(rental))

    def _follow(self, connection: PodConnection) -> None:
        self._connection = connection
        self._mirror = Mirror(self._rental, connection)

    def prepare(self, job: Job, *, resume: bool) -> None:
        rental = self._rental
        self._evaluated = job.evaluate is not None
        if download.is_here(rental):
            self._mirror.over = True
            return
        if self._stopped:
            self._follow(start.start_stopped(rental, guard=self._guard))
        if rental.pod.has_job:
            return
        try:
            self._follow(start.start(rental, another=self._another))
            start.must_stop_itself(rental, self._connection)
            begun = rental.state.offset
            offset = events.read(rental.run.events)[1] if begun is None else begun
            upload_job(rental, self._connection, job, offset=offset, resume=resume)
        except Exception as error:
            rental.say("training has not started: deleting the pod")
            self._give_up(error)
            raise

    def _give_up(self, error: Exception) -> None:
        rental = self._rental
        try:
            self.release()
        except Fault as fault:
            pod = rental.state.living
            if pod is None:
                return
            raise PodFailed(
                f"{error}; and pod {pod.id or pod.name} could not be deleted: {fault.cause}",
                f"its deadline is {at(pod.gone_by)}; delete it now with: launch stop {rental.run.id} --now",
            ) from None

    def alive(self) -> bool:
        rental = self._rental
        try:
            refused = self._mirror.update()
        except PodFailed as fault:
            if rental.pod.seen == "failed" and self._mirror.saved is False:
                rental.say(f"{fault.cause}; nothing is saved on it: deleting it")
                self.release()
                raise PodFailed(
                    f"pod {rental.pod.id} went into state ERROR before anything was saved, and was deleted",
                    f"resume with: {resume_hint(rental.run)}",
                ) from None
            raise
        if refused:
            self.release()
            raise self._mirror.refusal()
        if rental.pod.capped and rental.now() > rental.pod.finish_by and not self._saving:
            rental.say("saving now: at its real rate the pod reaches the cap soon")
            self._saving = True
            self.stop()
        return not self._mirror.over

    def exit_code(self) -> int | None:
        return None

    def stop(self) -> None:
        self._signal("TERM")

    def kill(self) -> None:
        self._signal("KILL")

    def _signal(self, name: str) -> None:
        self._connection.link.ask(lambda session: session.run(STOP.format(signal=name)))

    def leave(self) -> str | None:
        rental, settings = self._rental, self._rental.context.settings
        if settings.on_interrupt == "stop":
            return None
        pod = rental.pod
        then = "stops (disk kept)" if settings.on_deadline == "stop" else "deletes itself"
        return (
            f"detached: pod {pod.id} keeps training, saves by {at(pod.finish_by)} "
            f"and {then} by {at(pod.gone_by)}; ${pod.cost(rental.now()):.2f} so far, at most ${pod.most:.2f}"
        )

    def fetch(self) -> bool:
        return download.is_here(self._rental) or download.result(
            self._rental, self._connection, evaluated=self._evaluated
        )

    def release(self) -> None:
        self._connection.close()
        reason = "fetched" if download.is_here(self._rental) else "ended without a result"
        release(self._rental, reason=reason)
        show_receipt(self._rental, patience=BILL)
