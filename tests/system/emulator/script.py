"""The faults to come, and how they are read and used up."""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from tests.system.emulator import faults
from tests.system.emulator.faults import Answer, Fault, Trouble

AnyFault = Annotated[
    faults.Refuse | faults.Capacity | faults.LoseReply | faults.Drop | faults.Delay
    | faults.Paginate | faults.OddCreate | faults.CutLogs | faults.RepeatLogs
    | faults.Early404 | faults.SlowPull | faults.PullError | faults.RunningEarly
    | faults.Broken | faults.Exit | faults.StalePort | faults.OldDriver | faults.IdleGpu
    | faults.SmallVolume | faults.Impostor | faults.CutLink | faults.SlowLink
    | faults.PodKey | faults.SlowRelease,
    Field(discriminator="do"),
]  # fmt: skip
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyFault)
Kind = TypeVar("Kind", bound=Fault)


def read(fault: Fault | Mapping[str, Any]) -> Fault:
    """A fault from its JSON form.

    Raises:
        pydantic.ValidationError: no such fault, or not with these fields.
    """
    found: Fault = ADAPTER.validate_python(fault)
    # A copy: the same object scripted twice is two faults.
    return found.model_copy()


class Script:
    """The faults to come, in order; each is used up after its `times`."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Fault, int | None]] = []
        self._lock = Lock()

    def add(self, faults: Iterable[Fault]) -> None:
        with self._lock:
            self._waiting += [(fault, fault.times) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{**fault.model_dump(), "times": left} for fault, left in self._waiting]

    def answers(self, operation: str, facts: Mapping[str, Any]) -> list[Answer]:
        """What befalls this request: at most one of each sort, so that two refusals strike twice."""
        taken: list[Answer] = []
        for fault in self._fitting(Answer, facts):
            if fault.on in {"any", operation} and type(fault) not in {type(one) for one in taken}:
                taken.append(fault)
        self._use(taken)
        return taken

    def troubles(self, facts: Mapping[str, Any]) -> list[Trouble]:
        """What befalls this pod: all that fit."""
        taken = self._fitting(Trouble, facts)
        self._use(taken)
        return taken

    def _fitting(self, kind: type[Kind], facts: Mapping[str, Any]) -> list[Kind]:
        with self._lock:
            waiting = [fault for fault, _ in self._waiting]
        return [fault for fault in waiting if isinstance(fault, kind) and fault.when.fits(facts)]

    def _use(self, taken: Iterable[Fault]) -> None:
        used = {id(fault) for fault in taken}
        with self._lock:
            counted = [
                (fault, left - 1 if left is not None and id(fault) in used else left)
                for fault, left in self._waiting
            ]
            self._waiting = [entry for entry in counted if entry[1] != 0]
