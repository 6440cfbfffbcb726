"""The flags of ``export``, ``serve`` and ``chat``, shared by launcher, trainer and datagen."""

import argparse
from collections.abc import Iterator
from pathlib import Path

GGUF = ("bf16", "q8_0", "lora", "q4_k_m")
HOST, PORT, CONTEXT = "127.0.0.1", 8080, 8192
CHAT_FIRST = ("--prompt", "--json", "--table", "--system", "--only")
CORRECTIONS, CHAT_TOKENS = Path("corrections.jsonl"), 512


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags: the run, what to make of it, and where to write it."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run folder; launch also takes a run id"
    )
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
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run folder; launch also takes a run id"
    )
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


def add_chat_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``chat`` but the run: the prompt, who answers, and how."""
    parser.add_argument(
        "-p", "--prompt", metavar="TEXT", help="answer this prompt and end, without a chat"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each prompt")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="ask about this table: the model's code runs in the sandbox",
    )
    parser.add_argument(
        "--system",
        metavar="TEXT",
        help='system prompt; "" for none (default: the one that all training rows share)',
    )
    parser.add_argument("--only", choices=("base", "adapter"), help="let only this one answer")
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help=f"rows file that /save appends to (default: {CORRECTIONS})",
    )
    parser.add_argument(
        "--tokens",
        type=int,
        metavar="N",
        help=f"maximum tokens of a reply (default: {CHAT_TOKENS})",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="sampling temperature; 0 takes the most likely token (default: 0)",
    )
    parser.add_argument(
        "--base", metavar="MODEL", help="folder or hub id of the base model, if it moved"
    )
    parser.add_argument(
        "--sandbox",
        metavar="WHERE",
        help="where the code of --table runs: unix:PATH of a sandbox service, or a level: full, reduced, none (default: "
        "$SFT_SANDBOX, else this machine's strongest level)",
    )


def given_to_chat(options: argparse.Namespace) -> Iterator[str]:
    """Yield the given flags of ``chat`` as arguments of a command, without the run."""
    if options.json:
        yield "--json"
    for name in "prompt table system only save tokens temperature base sandbox".split():
        if (value := getattr(options, name)) is not None:
            yield f"--{name}={value}"
