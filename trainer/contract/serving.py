"""The flags of ``serve``, shared by launcher and trainer."""

import argparse
from collections.abc import Iterator
from pathlib import Path

HOST, PORT, CONTEXT = "127.0.0.1", 8080, 8192


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags: the run, and where and how to serve it."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help=f"address to listen on; 0.0.0.0 lets other machines in, without a password (default: {HOST})",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help=f"port to listen on (default: {PORT})"
    )
    parser.add_argument(
        "--context",
        type=int,
        default=CONTEXT,
        metavar="N",
        help=f"most tokens of a chat, answer included (default: {CONTEXT})",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="the run's rows, if they were moved"
    )
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help="the base model, if its folder was moved: a folder or hub id",
    )


def given(options: argparse.Namespace) -> Iterator[str]:
    """Yield the given flags as arguments of a command, without the run."""
    for name in ("host", "port", "context", "data", "base"):
        if (value := getattr(options, name)) is not None:
            yield from (f"--{name}", str(value))
