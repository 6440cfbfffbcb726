"""A chat with the base and the adapter of a run, or with one model."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainer.contract import result_flags
from trainer.contract.command.errors import Fault, Usage, report

if TYPE_CHECKING:
    from datagen.chat.commands import Commands
    from datagen.chat.conversation import Conversation
    from datagen.verbs.arguments import Verbs


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser("chat", help="let base and adapter answer prompts in the terminal")
    verb.add_argument(
        "--model", required=True, help="run or adapter folder, model folder or hub id"
    )
    result_flags.add_chat_flags(verb)
    verb.first = ("--model", *result_flags.CHAT_FIRST[:4])
    verb.examples = (
        "datagen chat --model runs/RUN",
        'datagen chat --model runs/RUN --prompt "Where is my parcel?" --json',
        "datagen chat --model runs/RUN --table sales.csv",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.chat.commands import Commands
    from datagen.chat.conversation import Conversation
    from datagen.chat.screen import Screen
    from datagen.chat.training_rows import TrainedOn, trained_on
    from datagen.models.local.model import Engine, Generation
    from datagen.models.local.weights import find_model
    from datagen.models.served import ServedEngine

    location = find_model(args.model, args.base)
    if args.only == "adapter" and location.adapter is None:
        raise Usage(f"--only adapter: {args.model} is not an adapter", "leave out --only")
    typed = args.prompt is None and sys.stdin.isatty()
    screen = Screen(shows=not args.json)
    trained = trained_on(location.adapter) if location.adapter else TrainedOn()
    generation = Generation(
        tokens=args.tokens or result_flags.CHAT_TOKENS, temperature=args.temperature or 0.0
    )
    if args.server is not None:
        engine: Engine | ServedEngine = ServedEngine(args.server, generation, run=args.model)
    else:
        with screen.remarks.status(f"loading {args.model}"):
            engine = Engine(location, generation)
    system = trained.system if args.system is None else args.system
    chat = Conversation(engine, screen, system=system, keeps=typed)
    chat.only = args.only or (None if location.adapter else "base")
    commands = Commands(chat, trained, args.save or result_flags.CORRECTIONS)
    if args.system is None:
        screen.remark(trained.remark)
    if args.table:
        commands.table(args.table)
    try:
        if args.prompt is not None:
            _answer(chat, args.prompt, as_json=args.json)
        else:
            _converse(chat, commands, _typed(chat) if typed else _piped(), as_json=args.json)
    finally:
        if chat.table is not None:
            chat.table.close()
    return 0


def _converse(
    chat: Conversation, commands: Commands, lines: Iterator[str], *, as_json: bool
) -> None:
    """Answer line after line; what goes wrong with one is shown, and the next is read."""
    if chat.keeps:
        chat.screen.remark("/help lists the commands, Ctrl-C stops an answer, Ctrl-D ends")
    for line in lines:
        try:
            if not line.startswith("/"):
                _answer(chat, line, as_json=as_json)
                chat.screen.line()
            elif not commands(line):
                return
        except Fault as fault:
            chat.screen.remark(report(fault), style="red")
        except KeyboardInterrupt:
            if not chat.keeps:
                raise
        except OSError as error:
            chat.screen.remark(f"error: {error.filename}: {error.strerror}", style="red")


def _answer(chat: Conversation, prompt: str, *, as_json: bool) -> None:
    found = chat.ask(prompt)
    if as_json:
        answers = {label: answer.record() for label, answer in found.items()}
        print(json.dumps({"prompt": prompt, **answers}, ensure_ascii=False), flush=True)


def _piped() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip():
            yield line.strip()


def _typed(chat: Conversation) -> Iterator[str]:
    """What the user types, until Ctrl-D; Ctrl-C drops a line."""
    import readline  # input() edits the line with it, and remembers earlier ones

    readline.parse_and_bind("set enable-bracketed-paste on")  # several pasted lines are one prompt
    while True:
        name = chat.table.path.name if chat.table else ""
        try:
            line = input(f"{name}> ")
            while line.endswith("\\"):
                line = line[:-1] + "\n" + input("... ")
        except KeyboardInterrupt:
            print()
        except EOFError:
            print()
            return
        else:
            if line.strip():
                yield line.strip()
