"""The NVIDIA cards of this machine, as the driver lists them; empty without a driver."""

from dataclasses import dataclass

from launcher.world import World

QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class LocalCard:
    """``name`` as RunPod names it too; ``memory`` in GB (10^9 bytes)."""

    name: str
    memory: int


def local_cards(world: World) -> list[LocalCard]:
    """Every card that ``nvidia-smi`` lists, in its order; other lines are skipped."""
    found = []
    for line in (world.answer(QUERY) or "").splitlines():
        name, _, mebibytes = line.rpartition(",")
        if name.strip() and mebibytes.strip().isdecimal():
            found.append(LocalCard(name.strip(), int(mebibytes) * 2**20 // 10**9))
    return found
