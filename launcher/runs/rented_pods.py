"""The pods that launch rents: their names, the times for which they are billed, the SSH key of a run."""

import re
from dataclasses import dataclass, replace
from typing import Literal, Self

from launcher.world import World
from trainer.contract.command.crash_safe_files import write_whole

_NAME = re.compile(r"sft-(?P<run>.+)-(?P<machine>[0-9a-f]{8})-(?P<gone_by>\d{9,11})-(?P<n>\d+)")


@dataclass(frozen=True)
class Name:
    """A pod's name: its run, machine and deadline, readable by any machine with the key."""

    run: str
    machine: str
    gone_by: int
    attempt: int

    def __str__(self) -> str:
        return f"sft-{self.run}-{self.machine}-{self.gone_by}-{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read a name; None for a pod that launch did not rent."""
        found = _NAME.fullmatch(text)
        if found is None:
            return None
        return cls(found["run"], found["machine"], int(found["gone_by"]), int(found["n"]))


def machine_id(world: World) -> str:
    """Eight hexadecimal digits, the same for this user on this machine."""
    path = world.state_folder() / "machine"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, world.token() + world.token())
    return path.read_text("utf-8")


Seen = Literal["", "stopped", "failed", "gone"]


@dataclass(frozen=True)
class Billed:
    """A time for which a pod's card is billed: from ``start`` until ``end``, or until the deadline."""

    start: float
    deadline: float
    end: float | None = None

    def seconds(self, now: float) -> float:
        return max(0.0, min(now if self.end is None else self.end, self.deadline) - self.start)


@dataclass(frozen=True)
class RentedPod:
    """A pod that a run has rented, or may have: ``id`` is None while the outcome of its create is unknown.

    ``rate`` is in USD an hour, times are unix seconds, ``most`` is the quoted cost in USD. ``up``: when it was
    first seen up, or up again after a stop. ``has_job``: the training was handed to it. ``seen``: how the
    API showed it when it was not running. ``capped``: at its real rate it reaches the cap before the deadline
    that it was given. ``charged``: its whole bill in USD, once that is known.
    """

    name: str
    rate: float
    finish_by: float
    times: tuple[Billed, ...]
    gpu: str = ""
    image: str = ""
    most: float = 0.0
    id: str | None = None
    up: float | None = None
    has_job: bool = False
    fetched: bool = False
    released: bool = False
    seen: Seen = ""
    capped: bool = False
    charged: float | None = None

    @property
    def since(self) -> float:
        """When it was created; when it was requested, where no answer came."""
        return self.times[0].start

    @property
    def gone_by(self) -> float:
        """Its deadline."""
        return self.times[-1].deadline

    def seconds(self, now: float) -> float:
        """How long it was billed by ``now``."""
        return sum(time.seconds(now) for time in self.times)

    def cost_by_time(self, now: float) -> float:
        """What it has cost by ``now`` in USD, by elapsed time."""
        return self.seconds(now) / 3600 * self.rate

    def cost(self, now: float) -> float:
        """What it has cost by ``now`` in USD: as charged, else by elapsed time."""
        return self.cost_by_time(now) if self.charged is None else self.charged

    def ended(self, at: float, *, released: bool) -> Self:
        """The pod as it is when it is no longer billed from ``at`` on."""
        last = self.times[-1]
        end = at if last.end is None else last.end
        return replace(
            self,
            times=(*self.times[:-1], replace(last, end=end)),
            released=self.released or released,
        )
