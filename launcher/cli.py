"""The command ``launch``: parse, call, exit code. Each verb is a module of ``launcher.verbs``."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from launcher import installed_version
from trainer.contract.command.arguments import Parser
from trainer.contract.command.errors import run_main
from trainer.contract.command.streams import write_json

# A verb without help is for our own use and not listed. Its module is imported only when it is used:
# help of `launch` stays light.
VERBS = {
    "train": "train a LoRA adapter and show its progress",
    "demo": "make data, train and evaluate a small model here in minutes",
    "check": "show what a job would train on: tokens, lengths, duplicate rows",
    "chat": "let a run's base and adapter answer your prompts in the terminal",
    "export": "export a run's adapter: merged model, GGUF, Ollama, Hugging Face hub",
    "serve": "serve a run's base and adapter here, with OpenAI's API",
    "plan": "estimate a run on each card: whether it fits, time, cost",
    "ps": "list your runs",
    "logs": "show a run's events and the output of its trainer",
    "attach": "continue a run whose launcher ended",
    "fetch": "download a run's result, also from a stopped pod; delete the pod",
    "stop": "stop a run and keep what it has trained",
    "report": "write a run's report.html and report.json again",
    "receipt": "show what a run has cost, next to its quote",
    "reap": "delete or stop pods whose run has ended or deadline has passed",
    "image": "build and push the image that pods run",
    "doctor": "check what training, data and renting need here",
    "guard": "",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The entry point; every failure becomes a message and an exit code."""
    return run_main(_main, argv)


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    typed = [] if arguments else _completing()
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    parser = Parser(
        prog="launch",
        description="Train a LoRA adapter and measure whether it is better than its base model.",
        epilog="See launch help VERB for each verb. docs/reference.md lists exit codes, and how to get completion "
        "in your shell.",
        allow_abbrev=False,
    )
    parser.examples = (
        "launch demo",
        "launch check --data chats.jsonl --model Qwen/Qwen2.5-3B-Instruct",
        "launch train --gpu A10G --data chats.jsonl",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((a for a in typed or arguments if not a.startswith("-")), None)
    for name, about in VERBS.items():
        listed: dict[str, Any] = {"help": about} if about else {}
        sub = verbs.add_parser(name, **listed, description=about, allow_abbrev=False)
        if name == chosen:
            verb = import_module(f"launcher.verbs.{name}")
            verb.add_flags(sub)
            sub.examples, sub.first = getattr(verb, "EXAMPLES", ()), getattr(verb, "FIRST", ())
            sub.set_defaults(call=verb.run)
    if typed:
        from launcher.verbs.completion import complete

        hidden = [name for name, about in VERBS.items() if not about]
        flags = verbs.choices[chosen]._actions if chosen in verbs.choices else ()  # noqa: SLF001
        complete(parser, flags, hidden=hidden)
    options = parser.parse_args(arguments)
    if getattr(options, "json", False):
        write_json()
    code: int = options.call(options)
    return code


def _completing() -> list[str]:
    """The words typed so far, when the shell wants completions; else empty."""
    from launcher.verbs.completion import words
    from launcher.world import World

    return words(World())


class _Version(argparse.Action):
    """Print the version and exit; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"sft-launch {installed_version()}")  # noqa: T201 - an entry
        parser.exit()
