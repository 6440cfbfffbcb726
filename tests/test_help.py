"""Every long help of the three commands ends with three examples, and its command takes each of them."""

import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest

import datagen.cli
import launcher.cli
import trainer.__main__
from trainer.contract.command.arguments import FIRST, Parser

LONG = 24  # lines of an old terminal, 80 columns wide
LONGER = 34  # from here on the five options that matter stand first
COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "launch": launcher.cli._main,
    "datagen": datagen.cli._main,
    "python -m trainer": trainer.__main__._main,
}
datagen_verbs: Any = datagen.cli._parser()._actions[-1]
VERBS = {
    "launch": [name for name, about in launcher.cli.VERBS.items() if about],
    "datagen": [*datagen_verbs.choices],
    "python -m trainer": [*trainer.__main__.VERBS],
}
HELPS = [(command, *verb) for command in COMMANDS for verb in [(), *((v,) for v in VERBS[command])]]


class Parsed(Exception):
    pass


def help_of(command: str, *verb: str, capsys, monkeypatch) -> tuple[str, list[str]]:
    """The help at 80 columns, without its examples, and those."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        COMMANDS[command]([*verb, "--help"])
    assert ended.value.code == 0
    text, _, examples = capsys.readouterr().out.partition("\nexamples:\n")
    return text, [line.strip() for line in examples.splitlines()]


@pytest.mark.parametrize("named", HELPS, ids=" ".join)
def test_a_long_help_ends_with_three_examples_that_the_command_takes(named, capsys, monkeypatch):
    command, *verb = named
    text, examples = help_of(command, *verb, capsys=capsys, monkeypatch=monkeypatch)
    if len(text.splitlines()) > LONGER:
        first = text.partition(f"\n{FIRST}:\n")[2].partition("\n\n")[0]
        assert len(re.findall(r"^  --", first, re.MULTILINE)) == 5
    assert len(examples) == (3 if len(text.splitlines()) > LONG else 0)
    parse = Parser.parse_args

    def parse_only(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse_only)
    for example in examples:
        words = shlex.split(example)
        program = shlex.split(command)
        assert words[: len(program) + len(verb)] == [*program, *verb]
        with pytest.raises(Parsed):
            COMMANDS[command](words[len(program) :])
