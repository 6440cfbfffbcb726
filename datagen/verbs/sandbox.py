"""Show the isolation that cells get on this machine, layer by layer."""

from __future__ import annotations

import argparse
import json
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datagen.verbs.arguments import Verbs

LAYERS = {
    "landlock": "files: only Python's libraries can be read; nothing can be changed",
    "seccomp": "no sockets, programs, processes, signals, namespaces, or other system calls a cell never needs",
    "rlimits": "limits on memory, processor time and open files; no writing to files",
}
ALWAYS = (
    "a fresh process for each episode, killed at its end; limits on time, output and environment"
)
NOT_STOPPED = {
    "reduced": "a cell can read your files, empty them, and reach the network",
    "none": "a cell can do everything that you can",
}


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "sandbox", help="show which isolation model-written code gets on this machine"
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.sandbox import Sandbox
    from datagen.sandbox.level import from_setting
    from datagen.tables.table import bundled_tables

    smallest = min(bundled_tables(), key=lambda path: path.stat().st_size)
    place = from_setting()
    with Sandbox({smallest.stem: smallest}) as box:
        level, layers = box.level, box.layers
    service = str(place.socket) if place.socket else None
    if args.json:
        print(json.dumps({"level": level, "layers": layers, "service": service}))
        return 0
    where = f"at {service}" if service else f"on {platform.system()} {platform.machine()}"
    print(f"sandbox {level}, {where}")
    for layer in layers:
        print(f"  {layer:9} {LAYERS[layer]}")
    print(f"  {'always':9} {ALWAYS}")
    if level in NOT_STOPPED:
        print(f"not stopped: {NOT_STOPPED[level]}; docker compose gives level full")
    return 0
