"""`launch chat`: base and adapter of a run answer in the terminal."""

import argparse
from pathlib import Path

from trainer.contract import result_flags

EXAMPLES = (
    "launch chat RUN",
    'launch chat RUN -p "Where is my parcel?" --json',
    "launch chat RUN --table sales.csv --only adapter",
)
FIRST = result_flags.CHAT_FIRST
MARKS = ("manifest.json", "adapter_config.json", "adapter/adapter_config.json")


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="run id, its first characters, or a run folder")
    result_flags.add_chat_flags(parser)


def run(options: argparse.Namespace) -> int:
    from launcher.runs.run_folder import find
    from launcher.world import World

    world = World()
    # A run of the trainer alone has no journal.
    folder = Path(options.run)
    if not any((folder / mark).is_file() for mark in MARKS):
        folder = find(options.run, world=world).folder
    flags = result_flags.given(options, result_flags.CHAT)
    world.become(world.python("datagen", "chat", "--model", str(folder), *flags))
