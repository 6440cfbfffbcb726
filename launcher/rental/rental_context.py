"""What every step of a rental needs: the run, its journal, the API and the surroundings of the command."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from launcher.context import Context
from launcher.runpod_api import Api
from launcher.runs.rented_pods import RentedPod
from launcher.runs.run_folder import Log, Run
from launcher.runs.run_state import RunState
from launcher.world import Wait


@dataclass(frozen=True)
class Rental:
    """A run that trains on rented pods, its journal held by this process."""

    run: Run
    context: Context
    api: Api
    log: Log

    @property
    def state(self) -> RunState:
        return self.log.state

    @property
    def pod(self) -> RentedPod:
        """The newest pod, where one was rented."""
        assert self.state.pod is not None
        return self.state.pod

    @property
    def pod_id(self) -> str:
        """The newest pod's id, where it is known."""
        assert self.pod.id is not None
        return self.pod.id

    def now(self) -> float:
        return self.context.world.now()

    def waiting(
        self, what: str, *, until: float | None = None, maybe: str = ""
    ) -> AbstractContextManager[Wait]:
        """Inside, sleeps report that ``what`` is waited for, and what the run has cost so far."""
        return self.context.world.waiting(
            what, until=until, cost=lambda: self.state.spent(self.now()), maybe=maybe
        )

    def say(self, text: str) -> None:
        self.context.view.say(text)
