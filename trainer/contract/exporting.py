"""The flags of ``export``, shared by launcher and trainer."""

import argparse
from collections.abc import Iterator
from pathlib import Path


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags: the run, what to make of it, and where to write it."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--merge", action="store_true", help="write base and adapter as one model")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the merged model (default: RUN/merged)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="the run's rows, if they were moved"
    )
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help="the base model, if its folder was moved: a folder or hub id",
    )
    parser.add_argument(
        "--gguf",
        metavar="KIND",
        help="print the commands that make a GGUF file of this kind: q4_k_m ...",
    )
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload the merged model, or the adapter, to the hub"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what --push would upload")


def given(options: argparse.Namespace) -> Iterator[str]:
    """Yield the given flags as arguments of a command, without the run."""
    for name in ("merge", "dry_run"):
        if getattr(options, name):
            yield f"--{name.replace('_', '-')}"
    for name in ("out", "data", "base", "gguf", "push"):
        if (value := getattr(options, name)) is not None:
            yield from (f"--{name}", str(value))
