"""The flags of ``export`` and ``serve``, shared by launcher and trainer."""

import argparse
from collections.abc import Iterator
from pathlib import Path

GGUF = ("bf16", "q8_0", "lora", "q4_k_m")
HOST, PORT, CONTEXT = "127.0.0.1", 8080, 8192


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags: the run, what to make of it, and where to write it."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--merge", action="store_true", help="write base and adapter as one model")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the result (default: RUN/merged, and RUN/gguf for a GGUF file)",
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
        choices=GGUF,
        metavar="TYPE",
        help=f"make a GGUF file for llama.cpp and Ollama, and prove it: {', '.join(GGUF)}. lora: the adapter beside "
        "its base in q8_0",
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


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``serve``: the run, and where and how to serve it."""
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


def given_to_serve(options: argparse.Namespace) -> Iterator[str]:
    """Yield the flags of ``serve`` as arguments of a command, without the run."""
    for name in ("host", "port", "context", "data", "base"):
        if (value := getattr(options, name)) is not None:
            yield from (f"--{name}", str(value))
