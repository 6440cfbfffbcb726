"""The command ``launch``: parse, call, exit code. Each verb is a module of ``launcher.verbs``."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from trainer.contract.arguments import Parser
from trainer.contract.errors import run_main
from trainer.contract.streams import write_json

# A verb without help is for our own use and not listed. Its module is imported only when it is used:
# help of `launch` stays light.
VERBS = {
    "train": "train an adapter, and follow it",
    "demo": "the whole story on this machine, in a few minutes",
    "check": "what a job would train on: masks, lengths, rows that are there twice",
    "export": "make one model of base and adapter, for Ollama, llama.cpp, the hub",
    "plan": "what a run would take on each card: fit, time, money",
    "ps": "list your runs",
    "logs": "show what a run said",
    "attach": "carry on with a run whose launcher ended",
    "fetch": "bring a result home, from a stopped pod too, and let the pod go",
    "stop": "end a run now, keeping what it has trained",
    "report": "write a run's report.html and report.json again",
    "receipt": "what a run has cost, beside what was quoted",
    "reap": "let go of pods that nobody looks after",
    "image": "build and push the image that pods run",
    "doctor": "what runs need here, and the remedy for what is missing",
    "guard": "",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; every failure becomes a message and an exit code."""
    return run_main(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="launch",
        description="Train a LoRA adapter of your own, and see what it is worth.",
        epilog="launch VERB --help tells more. Exit codes are listed in docs/reference.md.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    for name, about in VERBS.items():
        listed: dict[str, Any] = {"help": about} if about else {}
        sub = verbs.add_parser(name, **listed, description=about, allow_abbrev=False)
        if name == chosen:
            verb = import_module(f"launcher.verbs.{name}")
            verb.add_flags(sub)
            sub.set_defaults(call=verb.run)
    options = parser.parse_args(arguments)
    if getattr(options, "json", False):
        write_json()
    code: int = options.call(options)
    return code
