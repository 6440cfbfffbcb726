"""The argument parser of both commands: an invalid argument is one fault, which names the nearest valid one.

argparse has no public names for the verbs of a parser and their parsers.
"""
# ruff: noqa: SLF001

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from trainer.contract.command.errors import Usage

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


FIRST = "main options"


class Parser(argparse.ArgumentParser):
    """argparse's parser, but invalid arguments raise ``Usage``; also used for the verbs.

    ``examples``: command lines at the end of the help. ``first``: flags that a long help shows first.
    """

    examples: Sequence[str] = ()
    first: Sequence[str] = ()

    def format_help(self) -> str:
        text = self._format_first() if self.first else super().format_help()
        lines = ["", "examples:", *(f"  {line}" for line in self.examples), ""]
        return text + "\n".join(lines if self.examples else ())

    def _format_first(self) -> str:
        """Format argparse's help, but the flags of ``first`` have the first section, and usage does not repeat all."""
        named = self._option_string_actions
        first = [named[flag] for flag in self.first]
        formatter = self._get_formatter()
        arguments = [
            formatter._format_args(one, formatter._get_default_metavar_for_positional(one))
            for one in self._positionals._group_actions
        ]
        formatter.add_usage(" ".join(["%(prog)s [options]", *arguments]), [], [])
        formatter.add_text(self.description)
        positionals, *groups = self._action_groups
        sections = [(positionals.title, positionals._group_actions), (FIRST, first)]
        for group in groups:
            rest = [action for action in group._group_actions if action not in first]
            sections.append((group.title, rest))
        for title, actions in sections:
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        given = list(sys.argv[1:] if args is None else args)
        found, unknown = self.parse_known_args(given, namespace)
        if unknown:
            parser = self._chosen(given)
            flag = unknown[0].partition("=")[0]
            flags = [name for action in parser._actions for name in action.option_strings]
            raise Usage(f"{parser.prog}: unknown argument {flag}", parser._hint(flag, flags))
        return found

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '(.*?)'", message)
        names = [name for action in self._actions for name in _listed(action)]
        flag = re.match(r"argument (--[\w-]+)", message)
        if wrong and names:
            hint = self._hint(wrong[1], names)
            if flag and hint.startswith("see:"):
                values = self._option_string_actions[flag[1]].choices or ()
                hint = f"{flag[1]} takes: {', '.join(map(str, values))}"
            raise Usage(f"{self.prog}: unknown {'value' if flag else 'verb'} {wrong[1]!r}", hint)
        if "required: VERB" in message:
            raise Usage(f"{self.prog}: the verb is missing", f"give one of: {', '.join(names)}")
        raise Usage(f"{self.prog}: {message}", f"see: {self.prog} --help")

    def _chosen(self, given: Sequence[str]) -> Parser:
        """Return the parser of the given verb; this parser without a verb."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word in given:
                    if word in action.choices:
                        found: Parser = action.choices[word]._chosen(given)
                        return found
        return self

    def _hint(self, wrong: str, names: Iterable[str]) -> str:
        near = difflib.get_close_matches(wrong, list(names), n=1)
        return f"did you mean {near[0]}?" if near else f"see: {self.prog} --help"


def allowed(kind: Any) -> tuple[str, ...]:
    """Return the values of a field of type ``kind``: a Literal's (or None), yes and no for bool, else none."""
    if get_origin(kind) is Literal:
        return tuple(str(word) for word in get_args(kind))
    if kind is bool:
        return ("yes", "no")
    parts = [part for part in get_args(kind) if part is not NoneType]
    return allowed(parts[0]) if len(parts) == 1 and len(get_args(kind)) == 2 else ()


def add_flag(
    to: argparse._ActionsContainer, flag: str, field: FieldInfo, *, dest: str, preset: str
) -> None:
    """Add a flag for a model's field; help shows the words it takes, else the last part of its name."""
    words, default = allowed(field.annotation), preset and f" (default: {preset})"
    to.add_argument(
        flag,
        dest=dest,
        default=argparse.SUPPRESS,
        metavar="{" + ",".join(words) + "}" if words else flag.rsplit("-", 1)[-1].upper(),
        help=f"{field.description}{default}".replace("%", "%%"),
    )


def _listed(action: argparse.Action) -> list[Any]:
    """Return the choices that the help shows, without hidden verbs."""
    if isinstance(action, argparse._SubParsersAction):
        return [choice.dest for choice in action._choices_actions]
    return list(action.choices or ())
