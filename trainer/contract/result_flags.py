"""The flags of the verbs that use a result (``export``, ``serve``, ``chat``), for launcher, trainer and datagen."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

GGUF = ("bf16", "q8_0", "lora", "q4_k_m")
HOST, PORT, CONTEXT = "127.0.0.1", 8080, 8192
EXPORT = ("merge", "out", "data", "base", "gguf", "push", "dry_run")
SERVE = ("host", "port", "context", "data", "base")
CHAT = tuple("json prompt table system only server save tokens temperature base sandbox".split())
CHAT_FIRST = ("--prompt", "--json", "--table", "--system", "--only")
CORRECTIONS, CHAT_TOKENS = Path("corrections.jsonl"), 512


def add_export_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``export``: the run, what to make of it, and where to write it."""
    _add_run(parser)
    parser.add_argument("--merge", action="store_true", help="write base and adapter as one model")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the result (default: RUN/merged, and RUN/gguf for a GGUF file)",
    )
    _add_data(parser)
    _add_base(parser)
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


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``serve``: the run, and where and how to serve it."""
    _add_run(parser)
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
    _add_data(parser)
    _add_base(parser)


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
        "--server",
        metavar="URL",
        help="the models at this address answer, and no weights are loaded here: what launch serve prints",
    )
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
    _add_base(parser)
    parser.add_argument(
        "--sandbox",
        metavar="WHERE",
        help="where the code of --table runs: unix:PATH of a sandbox service, or a level: full, reduced, none (default: "
        "$SFT_SANDBOX, else this machine's strongest level)",
    )


def given(options: argparse.Namespace, names: Iterable[str]) -> Iterator[str]:
    """Yield those flags of ``names`` that have a value, as arguments of a command."""
    for name in names:
        flag, value = f"--{name.replace('_', '-')}", getattr(options, name)
        if value is True:
            yield flag
        elif value is not None and value is not False:
            yield f"{flag}={value}"


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="run folder; launch also takes a run id"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="the run's rows, if they were moved"
    )


def _add_base(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base", metavar="MODEL", help="the base model, if it was moved: a folder or hub id"
    )
