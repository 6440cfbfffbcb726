"""What README and docs say is what the code says."""

import argparse
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from datagen.cli import _parser
from launcher.cli import VERBS
from tests import models
from tests.reference import FILE, reference
from trainer import __main__ as trainer

ROOT = Path(__file__).parent.parent
FOLDERS = ("datagen", "docker", "docs", "launcher", "tests", "trainer")
PAGES = [*ROOT.glob("*.md"), *sorted(p for name in FOLDERS for p in (ROOT / name).rglob("*.md"))]
# The changelog also names what is gone.
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
# Flags that stand alone in a text and belong to another program.
FOREIGN = {"--rdzv-backend", "--rdzv-conf", "--master-addr", "--user", "--target"}


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands() -> list[tuple[str, list[str]]]:
    """(page, words) of every line of every block of shell."""
    return [
        (short(page), shlex.split(line, comments=True))
        for page in OF_TODAY
        for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line
    ]


def spans(page: Path) -> Iterator[str]:
    """The pieces of code inside the sentences of a page."""
    for text in re.findall(r"(?<!`)`([^`]+)`(?!`)", FENCED.sub("", page.read_text("utf-8"))):
        yield " ".join(text.split())


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of the headings."""
    text = FENCED.sub("", page.read_text("utf-8"))
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
        name = kept.replace(" ", "-")
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


@cache
def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb of each command."""
    found: dict[str, argparse.ArgumentParser] = {}
    for verb in VERBS:
        found[f"launch {verb}"] = argparse.ArgumentParser()
        import_module(f"launcher.verbs.{verb}").add_flags(found[f"launch {verb}"])
    verbs = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    found |= {f"datagen {name}": parser for name, parser in verbs.choices.items()}
    found["python -m trainer"] = argparse.ArgumentParser()
    trainer._add_job(found["python -m trainer"])
    return found


def flags(parser: argparse.ArgumentParser) -> set[str]:
    return {*parser._option_string_actions}


def test_the_reference_is_what_the_code_says():
    assert FILE.read_text("utf-8") == reference(), "write it anew: python -m tests.reference"


def test_the_table_of_models_is_what_the_code_says():
    assert models.FILE.read_text("utf-8") == models.page(), "write it anew: python -m tests.models"


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("page", OF_TODAY, ids=short)
def test_every_file_that_a_text_names_exists(page):
    tops = {path.name for path in ROOT.iterdir()} - {".venv", "data", "runs"}
    for text in spans(page):
        if re.fullmatch(r"[\w.-]+(/[\w.*-]*)+", text) and text.partition("/")[0] in tops:
            assert [*ROOT.glob(text.rstrip("/"))], text


@pytest.mark.parametrize("page", OF_TODAY, ids=short)
def test_every_command_and_flag_that_a_text_names_exists(page):
    known = set().union(*map(flags, parsers().values()), FOREIGN, {"--version", "--help"})
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in spans(page):
        given = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
        match text.split():
            case ["launch" | "datagen" as command, verb, *_] if (
                verb.islower() and verb.isalpha() and verb != "help"
            ):
                assert given <= flags(parsers()[f"{command} {verb}"]), text
            case ["make", target, *_]:
                assert target in targets, text
            case ["python", "-m", module, *_]:
                assert module == "pip" or find_spec(module), text
            case [flag, *_] if flag.startswith("--"):
                assert given <= known, text


@pytest.mark.parametrize(("page", "words"), commands())
def test_every_command_is_one_that_exists(page, words):
    csvs = [word.replace("*", "x") for word in words]
    match csvs:
        case ["make", *_] | ["export" | "echo" | "curl", *_] | ["docker", "compose", "down"]:
            pass
        case ["docker", "build" | "buildx", *_]:
            pass
        case ["sudo", script]:
            assert (ROOT / script).is_file()
        case ["python", "-m", "trainer", *rest] | [
            "docker",
            "compose",
            "run",
            "--rm",
            "train",
            *rest,
        ]:
            parsers()["python -m trainer"].parse_args(rest)
        case ["python" | ".venv/bin/python", "-m", module, *_]:
            assert find_spec(module)
        case ["launch", verb, *rest]:
            parsers()[f"launch {verb}"].parse_args(rest)
        case ["docker", "compose", "run", "--rm", "evaluate", *rest]:
            _parser().parse_args(["evaluate", *rest])
        case ["docker", "compose", "run", "--rm", "datagen", *rest] | ["datagen", *rest]:
            _parser().parse_args(rest)
        case _:
            raise AssertionError(words)
