"""``python -m trainer.demo_model FOLDER``: makes the model folder, unless it exists, and prints where it is from."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.contract.command import libraries
from trainer.contract.command.arguments import Parser
from trainer.contract.command.end_process import end_process
from trainer.contract.command.errors import run_main
from trainer.demo_model.fetch import fetch


def _main(argv: Sequence[str] | None) -> int:
    parser: argparse.ArgumentParser = Parser(prog="python -m trainer.demo_model")
    parser.add_argument("folder", type=Path, help="model folder to make")
    folder = parser.parse_args(argv).folder
    libraries.prepare_environment()
    print(f"SmolLM2-135M-Instruct {fetch(folder)}: {folder}", flush=True)
    return 0


if __name__ == "__main__":
    end_process(run_main(_main, sys.argv[1:]))
