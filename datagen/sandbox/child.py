"""The process of one episode: forked from the server, restricted, then cell after cell."""

import os
import sys
from typing import NoReturn

import pandas as pd

from datagen.sandbox import limits, wire
from datagen.sandbox.cell import Cells
from datagen.sandbox.result import Level

_CHANNEL = 3


def run_episode(
    channel: int,
    *,
    tables: dict[str, pd.DataFrame],
    plan: limits.Plan,
    level: Level,
    seed: int,
    output_chars: int,
) -> NoReturn:
    """Answer cells that arrive on ``channel`` until it closes. Never returns.

    The first frame says that the restrictions are in force; without them no code is run.
    """
    try:
        channel = keep_only(channel)
        obtained = limits.level_of(limits.harden(plan))
        if obtained != level:
            wire.write_frame(channel, {"error": f"the sandbox fell from {level} to {obtained}"})
            os._exit(1)
        cells = Cells(tables, seed=seed, output_chars=output_chars)
        wire.write_frame(channel, {"ready": True})
        while True:
            message = wire.read_frame(channel)
            wire.write_frame(channel, cells.run(str(message["code"])))
    except wire.BrokenWireError:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the server's own code must never go on in a child
        os._exit(1)


def probe(channel: int, plan: limits.Plan) -> NoReturn:
    """Restrict this process, try what must now fail, and report the layers that hold."""
    try:
        channel = keep_only(channel)
        layers = limits.observed(limits.harden(plan))
        wire.write_frame(channel, {"layers": sorted(layers)})
    finally:
        os._exit(0)


def keep_only(channel: int) -> int:
    """Close every descriptor but ``channel``; stdin, stdout and stderr become the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(channel, _CHANNEL)  # last: it may take the place of the null device
    os.closerange(_CHANNEL + 1, _most_descriptors())
    return _CHANNEL


def _most_descriptors() -> int:
    # Linux closes a range in one call; elsewhere it is one call for each number.
    return 1 << 20 if sys.platform.startswith("linux") else 4096
