"""What the README says is what the code says."""

import argparse
import re
from importlib import import_module
from pathlib import Path

from datagen.cli import _parser
from launcher import errors as launcher_errors
from launcher.cli import VERBS
from trainer.contract import errors
from trainer.contract.job import RECIPES, options_table

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].split() for block in BLOCKS for line in block.splitlines() if line]


def exit_table() -> str:
    codes = errors.EXIT_CODES | launcher_errors.EXIT_CODES
    kinds = {
        kind.__name__: (kind.__doc__ or "").split("\n")[0].split("; ``")[0]
        for module in (errors, launcher_errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__name__ in codes
    }
    lines = ["| code | when |", "| --- | --- |"]
    lines += [
        f"| {code} | {kinds[name]} |" for name, code in sorted(codes.items(), key=lambda c: c[1])
    ]
    return "\n".join(lines) + "\n"


def test_tables_of_options_and_exit_codes():
    assert options_table() in README
    assert exit_table() in README


def test_recipes_are_those_shipped():
    named = re.search(r"Recipes for `--recipe`: (.*?)\.\s+A recipe", README, re.DOTALL)
    assert named
    assert set(re.findall(r"`([^`]+)`", named[1])) == {path.stem for path in RECIPES.glob("*.toml")}


def test_every_command_is_one_that_exists():
    for words in COMMANDS:
        match words:
            case ["make", *_] | ["python", "-m", "trainer", *_] | ["export" | "echo", *_]:
                pass
            case ["launch", verb, *rest]:
                parser = argparse.ArgumentParser()
                assert verb in VERBS
                import_module(f"launcher.verbs.{verb}").add_flags(parser)
                parser.parse_args(rest)
            case ["docker", "compose", "down"]:
                pass
            case ["docker", "compose", "run", "--rm", "evaluate", *rest]:
                _parser().parse_args(["evaluate", *rest])
            case ["docker", "compose", "run", "--rm", "datagen", *rest] | ["datagen", *rest]:
                csvs = [word.replace("*", "x") for word in rest]
                _parser().parse_args(csvs)
            case _:
                raise AssertionError(words)
