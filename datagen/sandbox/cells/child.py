"""The process of one episode: forked from the server, restricted, then cell after cell."""

import os
import sys
from typing import NoReturn

from datagen.sandbox import frames
from datagen.sandbox.cells.cell import Cells
from datagen.sandbox.isolation.limits import Confinement, layers_in_force, level_of
from datagen.sandbox.messages import Level

_CHANNEL = 3


def run_episode(
    channel: int,
    *,
    cells: Cells,
    confinement: Confinement,
    level: Level,
) -> NoReturn:
    """Answer cells that arrive on ``channel`` until it closes. Never returns.

    The first frame reports that the restrictions are in force; without them no code is run. The first
    to arrive carries the seed.
    """
    try:
        obtained = level_of(confinement.enter_child())
        redirect_to_null()
        close_other_descriptors(channel)
        if obtained != level:
            frames.write_frame(
                _CHANNEL, {"error": f"the sandbox level dropped from {level} to {obtained}"}
            )
            os._exit(1)
        frames.write_frame(_CHANNEL, {"ready": True})
        cells.seed(int(frames.read_frame(_CHANNEL)["seed"]))
        while True:
            message = frames.read_frame(_CHANNEL)
            frames.write_frame(_CHANNEL, cells.run(str(message["code"])))
    except frames.BrokenFrameError:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the server's own code must never go on in a child
        os._exit(1)


def probe(channel: int, confinement: Confinement, *, as_server: bool = False) -> NoReturn:
    """Restrict this process, try what must now fail, and report the layers that hold.

    ``as_server`` takes away first what a server gives up before it forks.
    """
    try:
        if as_server:
            confinement.enter_server()
        layers = layers_in_force(confinement.enter_child())
        close_other_descriptors(channel)
        frames.write_frame(_CHANNEL, {"layers": sorted(layers)})
    finally:
        os._exit(0)


def close_other_descriptors(channel: int) -> None:
    """Close every descriptor but the standard ones and ``channel``, which becomes number 3."""
    os.dup2(channel, _CHANNEL)
    # Linux closes a range in one call; elsewhere it is one call for each number.
    os.closerange(_CHANNEL + 1, 1 << 20 if sys.platform.startswith("linux") else 4096)


def redirect_to_null() -> None:
    """Make stdin, stdout and stderr the null device, opened again: a shared open file has flags that can be changed."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    if null > 2:  # else it took the place of one that was closed
        os.close(null)
