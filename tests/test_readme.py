"""What README and docs say is what the code says."""

import argparse
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from datagen.cli import _parser
from launcher.cli import VERBS
from tests import models
from tests.reference import FILE, reference
from trainer.__main__ import _add_job

ROOT = Path(__file__).parent.parent
FOLDERS = ("datagen", "docker", "docs", "launcher", "tests", "trainer")
PAGES = [*ROOT.glob("*.md"), *sorted(p for name in FOLDERS for p in (ROOT / name).rglob("*.md"))]
TOLD = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, list[str]]]:
    """(page, words) of every line of every block of shell."""
    return [
        (path.name, line.split("#")[0].split())
        for path in TOLD
        for block in re.findall(r"```bash\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line
    ]


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


def test_the_reference_is_what_the_code_says():
    assert FILE.read_text("utf-8") == reference(), "write it anew: python -m tests.reference"


def test_the_table_of_models_is_what_the_code_says():
    assert models.FILE.read_text("utf-8") == models.page(), "write it anew: python -m tests.models"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize(("page", "words"), commands())
def test_every_command_is_one_that_exists(page, words):
    csvs = [word.replace("*", "x") for word in words]
    match csvs:
        case ["make", *_] | ["export" | "echo", *_] | ["docker", "compose", "down"]:
            pass
        case ["python", "-m", "trainer", *rest] | [
            "docker",
            "compose",
            "run",
            "--rm",
            "train",
            *rest,
        ]:
            parser = argparse.ArgumentParser()
            _add_job(parser)
            parser.parse_args(rest)
        case ["launch", verb, *rest]:
            assert VERBS[verb]
            parser = argparse.ArgumentParser()
            import_module(f"launcher.verbs.{verb}").add_flags(parser)
            parser.parse_args(rest)
        case ["docker", "compose", "run", "--rm", "evaluate", *rest]:
            _parser().parse_args(["evaluate", *rest])
        case ["docker", "compose", "run", "--rm", "datagen", *rest] | ["datagen", *rest]:
            _parser().parse_args(rest)
        case _:
            raise AssertionError(words)
