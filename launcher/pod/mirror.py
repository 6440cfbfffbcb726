"""The events and the log of a pod, copied into the run folder as they grow."""

from launcher.errors import ConnectionLost, PodRefused
from launcher.pod import transfer
from launcher.pod.connection import PodConnection
from launcher.rental.rental_context import Rental
from trainer.contract import events
from trainer.contract import pod as border

PAUSE = 0.5  # seconds between two updates
AFTER_LOSS = 5.0
OBSERVE = 60.0  # seconds between two looks at the API


class Mirror:
    """``over``: the pod has reported that its work is done. ``saved``: it has saved a checkpoint or a result;
    None until its events were read once.
    """

    def __init__(self, rental: Rental, connection: PodConnection) -> None:
        self.over = False
        self.saved: bool | None = None
        self._rental = rental
        self._connection = connection
        self._offset = 0
        self._next = float("-inf")
        self._accepted = False
        self._lost = False
        self._refused = ""
        self._observe_at = rental.now() + OBSERVE

    def update(self) -> bool:
        """Copy what is new, unless it is too early for that; say whether the pod has refused the job."""
        if self.over or self._rental.now() < self._next:
            return False
        self._next = self._rental.now() + PAUSE
        self._connection.patient = False
        try:
            if self._rental.now() >= self._observe_at:
                self._observe_at = self._rental.now() + OBSERVE
                self._connection.must_live()
            self._copy()
            if self._lost:
                self._rental.say("the pod is reachable again")
            self._lost = False
        except ConnectionLost as fault:
            if not self._lost and not self._rental.context.interrupted:
                self._rental.say(f"{fault.cause}; the pod keeps training, connecting again")
            self._lost = True
            self._next = self._rental.now() + AFTER_LOSS
        finally:
            self._connection.patient = True
        return bool(self._refused)

    def refusal(self) -> PodRefused:
        return PodRefused(
            f"the pod rejected the job and was deleted: {self._refused}",
            f"correct that, then resume with: launch train --resume {self._rental.run.id}",
        )

    def _copy(self) -> None:
        run, link = self._rental.run, self._connection.link
        there = border.run_folder(run.id)
        transfer.mirror(link, f"{there}/events.jsonl", run.events)
        transfer.mirror(link, f"{there}/train.log", run.log)
        seen, offset = events.read(run.events, self._offset)
        for event in seen:
            match event:
                case events.Phase(name="accepted"):
                    self._accepted = True
                case events.Warning() if not self._accepted and self._is_rejected():
                    self._refused = event.message
                case events.Checkpoint() | events.Done():
                    self.saved = True
                case events.Phase(name="ready" | "released") | events.Released():
                    self.over = True
                case _:
                    pass
        self._offset = offset  # a lost connection reads these again
        self.saved = bool(self.saved)

    def _is_rejected(self) -> bool:
        refused = f"{border.inbox(self._rental.run.id)}/{border.JOB_REJECTED}"
        return self._connection.link.ask(lambda session: session.size(refused)) is not None
