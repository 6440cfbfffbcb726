"""Writes docs/reference.md from the code: `python -m tests.reference`, after any change of a flag."""

import argparse
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from datagen.cli import _parser as datagen_parser
from datagen.models.paid_api.settings import DECLARED as TEACHER
from launcher.cli import VERBS
from launcher.errors import NoCapacity
from launcher.settings import DECLARED as LAUNCHER
from trainer.contract.command.arguments import allowed
from trainer.contract.command.errors import Fault
from trainer.contract.command.settings import Declared, written
from trainer.contract.job import RECIPES, flag_names, options_table

FILE = Path(__file__).parent.parent / "docs" / "reference.md"
PLAIN = {"positional arguments", "options"}
ARGUMENTS = ["| argument | meaning |", "| --- | --- |"]
HEAD = """# Reference

On this page you find every option, setting, verb and exit code. `python -m tests.reference` writes the page from
the code; a test compares them. The [README](../README.md) explains what the two commands are for, the
[glossary](glossary.md) the terms.

```bash
launch train --recipe tiny --set lora.r=8 --data rows.jsonl    # a recipe, one option, a flag
```

- [Options of a job](#options-of-a-job)
- [Settings](#settings)
- [`launch`](#launch)
- [`datagen`](#datagen)
- [Exit codes](#exit-codes)
"""
JOB = """## Options of a job

The options of one training. A recipe is a TOML file with some of these names: `--recipe` takes the name of a shipped
one ({recipes}) or your file. `--set a.b=c` sets
any option, and the common ones have a flag. Flags win over `--set`, and `--set` wins over the recipe.
"""
LAUNCH = """`launch --version` prints the version, `launch help VERB` a verb's help. In bash and zsh the tab key completes
verbs, flags, run ids, cards and recipes after `eval "$(register-python-argcomplete launch)"`; put that line in
`~/.bashrc` to keep it.
"""
SETTINGS = """## Settings

Settings hold for every run of a user or a project. They are read from `launch.toml` in the user's config folder
(`~/.config/sft-launch`), then from `launch.toml` in the current folder, then from the environment, then
from flags: the later wins.
"""


def reference() -> str:
    """The whole page."""
    recipes = ", ".join(f"`{path.stem}`" for path in sorted(RECIPES.glob("*.toml")))
    return "\n".join(
        [
            HEAD,
            JOB.format(recipes=recipes),
            options_table(),
            SETTINGS,
            "### Of runs, at the top of the file\n",
            _settings(LAUNCHER),
            "### Of the teacher, under `[datagen]`\n",
            _settings(TEACHER),
            "## launch\n",
            LAUNCH,
            *_launch(),
            "## datagen\n",
            *_datagen(),
            "## Exit codes\n",
            exit_table(),
            "1 is an unexpected failure (`SFT_TRACEBACK=1` prints the traceback), or `launch doctor` found something",
            "missing.\n",
        ]
    )


def exit_table() -> str:
    kinds = {
        kind.exit_code: (kind.__doc__ or "").split("\n")[0].split("; ``")[0]
        for kind in Fault.__subclasses__()
        if kind.__module__ in {Fault.__module__, NoCapacity.__module__}
    }
    lines = [f"| {code} | {kinds[code]} |" for code in sorted(kinds)]
    return "\n".join(["| code | when |", "| --- | --- |", *lines]) + "\n"


def _settings(declared: Declared[Any]) -> str:
    lines = ["| setting | in the environment | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in declared.kind.model_fields.items():
        shown = f"`{preset}`" if (preset := written(field.default)) else ""
        key = f"{declared.prefix}{name.upper()}"
        words = ", ".join(f"`{word}`" for word in allowed(field.annotation))
        said = f"{field.description} ({words})" if words else str(field.description)
        lines.append(f"| `{name}` | `{key}` | {shown} | {_cell(said)} |")
    return "\n".join(lines) + "\n"


def _launch() -> Iterator[str]:
    for name, about in VERBS.items():
        if about:
            parser = argparse.ArgumentParser()
            import_module(f"launcher.verbs.{name}").add_flags(parser)
            yield from _verb(f"launch {name}", about, parser)


def _datagen() -> Iterator[str]:
    groups: dict[str, argparse._ArgumentGroup] = {}
    for action in datagen_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            abouts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, parser in action.choices.items():
                yield from _verb(f"datagen {name}", abouts[name], parser)
                shared = [g for g in parser._action_groups if g.title not in PLAIN | {"settings"}]
                groups |= {str(group.title): group for group in shared}
    for title, group in groups.items():
        yield "\n".join([f"### {_heading(title)}\n", *_rows(group._group_actions), ""])


def _verb(name: str, about: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Its own arguments in a table; of those that are declared elsewhere, where that is."""
    has_job = any(action.dest == "recipe" for action in parser._actions)
    job = {"recipe", "set", *(option for option, _ in flag_names())} if has_job else set()
    own, settings = [], []
    for group in parser._action_groups:
        for action in group._group_actions:
            if action.dest.startswith("setting_"):
                settings.append(action.option_strings[0])
            elif group.title in PLAIN and action.dest not in job | {"help"}:
                own.append(action)
    yield f"### {name}\n\n{about[0].upper()}{about[1:]}.\n"
    if own:
        yield "\n".join([*_rows(own), ""])
    also = ["`--recipe`, `--set` and the flags of [a job](#options-of-a-job)"] if has_job else []
    if settings:
        also.append(f"[settings](#settings): {', '.join(f'`{flag}`' for flag in settings)}")
    others = [str(g.title) for g in parser._action_groups if g.title not in PLAIN | {"settings"}]
    also += [f"[{_heading(title)}](#{_anchor(_heading(title))})" for title in others]
    if also:
        yield f"Also {'; '.join(also)}.\n"


def _rows(actions: Sequence[argparse.Action]) -> list[str]:
    return ARGUMENTS + [f"| `{_shape(action)}` | {_meaning(action)} |" for action in actions]


def _shape(action: argparse.Action) -> str:
    """As one types it: `RUN`, `[ID]`, `--out DIR`."""
    name = ", ".join(action.option_strings)
    value = action.metavar or (action.dest.upper() if action.choices is None else "")
    words = " ".join([value] if isinstance(value, str) else [value[0], f"[{value[1]}]"])
    if action.choices is not None and not value:
        words = "{" + ",".join(str(choice) for choice in action.choices) + "}"
    words = {"?": f"[{words}]", "*": f"[{words} ...]"}.get(str(action.nargs), words)
    if action.nargs == "+" and isinstance(value, str):
        words = f"{words} ..."
    return name if action.nargs == 0 else f"{name} {words}".strip()


def _meaning(action: argparse.Action) -> str:
    said = (action.help or "") % vars(action)
    needed = " (needed)" if action.required and action.option_strings else ""
    return _cell(said + needed)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def _heading(title: str) -> str:
    """The title of a group of arguments, without what stands in brackets behind it."""
    name = title.partition(" (")[0]
    return name[0].upper() + name[1:]


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


if __name__ == "__main__":
    FILE.write_text(reference(), "utf-8")
