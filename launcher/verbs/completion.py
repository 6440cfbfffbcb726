"""Completion in the shell: verbs, flags, run ids, cards, recipes and options, through the package argcomplete."""

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from launcher.world import World


def words(world: World) -> list[str]:
    """The words typed so far, at least one, when the shell wants completions; else empty.

    argcomplete's shell function calls the command with the line in ``COMP_LINE``, and without arguments.
    """
    asked = world.variable("_ARGCOMPLETE") and find_spec("argcomplete") is not None
    return world.variable("COMP_LINE").split()[1:] or [""] if asked else []


def complete(
    parser: argparse.ArgumentParser, flags: Sequence[argparse.Action], *, hidden: Sequence[str]
) -> None:
    """Write the completions for the shell, and end.

    ``flags``: those of the verb that is typed; ``hidden``: verbs that are not completed.
    """
    for action in flags:
        action.completer = _completer(action)  # type: ignore[attr-defined]
    import_module("argcomplete").autocomplete(parser, exclude=hidden)


def _completer(action: argparse.Action) -> Callable[..., list[str]] | None:
    """Lists the values of a flag; None where only a file's name can be completed, or ``choices`` are set."""
    if isinstance(action.metavar, str) and action.metavar.startswith("{"):
        allowed = action.metavar.strip("{}").split(",")
        return lambda **_: allowed
    return VALUES.get(action.dest)


def _runs(**_: Any) -> list[str]:
    from launcher.runs.run_folder import index

    return [run.id for run in index(world=World())]


def _cards(**_: Any) -> list[str]:
    from launcher.quote.gpu_names import NAMES, NOT_THERE

    return [name.upper() for name in (*NAMES, *NOT_THERE)]


def _recipes(**_: Any) -> list[str]:
    from trainer.contract.job import RECIPES

    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def _options(**_: Any) -> list[str]:
    from trainer.contract.job import options

    return [f"{name}=" for name, _ in options()]


VALUES: dict[str, Callable[..., list[str]]] = {
    "run": _runs,
    "resume": _runs,
    "setting_gpu": _cards,
    "recipe": _recipes,
    "set": _options,
}
