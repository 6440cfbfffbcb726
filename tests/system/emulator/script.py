"""The faults to come, and how they are read and used up."""

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any, TypeVar

from tests.system.emulator import faults
from tests.system.emulator.faults import Answer, Ending, Fault, Trouble

SORTS: tuple[type[Fault], ...] = (
    faults.Refuse, faults.Capacity, faults.LoseReply, faults.Drop, faults.Delay,
    faults.Paginate, faults.OddCreate, faults.CutLogs, faults.RepeatLogs,
    faults.Early404, faults.SlowPull, faults.PullError, faults.RunningEarly,
    faults.Broken, faults.Exit, faults.StalePort, faults.OldDriver, faults.IdleGpu,
    faults.SmallVolume, faults.Impostor, faults.CutLink, faults.SlowLink,
    faults.PodKey, faults.SlowRelease,
)  # fmt: skip
NAMES = {sort.model_fields["do"].default: sort for sort in SORTS}
Kind = TypeVar("Kind", bound=Fault)


def read(fault: Fault | Mapping[str, Any]) -> Fault:
    """A fault from its JSON form.

    Raises:
        ValueError: no such fault, or not with these fields.
    """
    if isinstance(fault, Fault):
        # A copy: the same object scripted twice is two faults.
        return fault.model_copy()
    sort = NAMES.get(str(fault.get("do")))
    if sort is None:
        raise ValueError(f"no fault '{fault.get('do')}'; there are {', '.join(NAMES)}")
    return sort.model_validate(fault)


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
        """What befalls this request: at most one ending, at most one of each other sort.

        A request that ends before it is carried out uses up nothing else but its delay.
        """
        taken: dict[type[Answer], Answer] = {}
        for fault in self._fitting(Answer, facts):
            if fault.on in {"any", operation}:
                taken.setdefault(Ending if isinstance(fault, Ending) else type(fault), fault)
        ending = taken.get(Ending)
        if ending is not None and not isinstance(ending, faults.LoseReply):
            taken = {kind: taken[kind] for kind in (Ending, faults.Delay) if kind in taken}
        self._use(taken.values())
        return list(taken.values())

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
