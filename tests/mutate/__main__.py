"""``python -m tests.mutate``: break one place at a time in the modules of modules.toml, see who notices.

Runs where cosmic-ray is installed, and each module's tests with another interpreter (``--python``): its
own requirements stay away from ours. The modules are broken in a copy of the last commit.
"""

import argparse
import ast
import os
import random
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cosmic_ray.commands import init  # type: ignore[import-not-found]
from cosmic_ray.mutating import mutate_and_test  # type: ignore[import-not-found]
from cosmic_ray.work_db import WorkDB  # type: ignore[import-not-found]
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem  # type: ignore[import-not-found]

MODULES = Path(__file__).with_name("modules.toml")
LEAST = 30.0  # seconds for the tests of one mutant, who may loop; else
TIMES = 5  # as often as long as they take unbroken

Span = tuple[tuple[int, int], tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument(
        "modules", nargs="*", help="of modules.toml; all of them when none is named"
    )
    parser.add_argument("--count", type=int, default=40, help="mutants of a module; 0: each place")
    parser.add_argument("--seed", type=int, default=22)
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    options = parser.parse_args()
    known = tomllib.loads(MODULES.read_text("utf-8"))
    if unknown := set(options.modules) - set(known):
        parser.error(f"not in {MODULES.name}: {', '.join(sorted(unknown))}")
    python = options.python.absolute()
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        _copy(Path(folder), python)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = folder  # what is installed may be the project itself
        for module in options.modules or known:
            command = [str(python), "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
            _break(module, [*command, *known[module]], options.count, options.seed)


def _copy(folder: Path, python: Path) -> None:
    """The last commit, compiled: no bytecode is written while a module is broken."""
    archive = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    subprocess.run([python, "-m", "compileall", "-q", folder], check=True)


def _break(module: str, command: Sequence[str], count: int, seed: int) -> None:
    """Print each mutant of one module that nobody notices, and then what became of all."""
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    limit = max(LEAST, TIMES * (time.monotonic() - begun))
    places = _places(Path(module))
    random.Random(seed).shuffle(places)
    chosen = places[: count or None]
    made = left = 0
    for place in chosen:
        result = mutate_and_test(place.mutations, shlex.join(command), limit)
        if result.worker_outcome == WorkerOutcome.EXCEPTION:
            continue  # cosmic-ray cannot replace the exception in ``except a.b:``
        assert result.worker_outcome == WorkerOutcome.NORMAL, result.output
        made += 1
        if result.test_outcome == TestOutcome.SURVIVED:
            left += 1
            print("\n".join(_changed(result.diff)), flush=True)
    print(
        f"{module}: {made} mutants at {len(places)} places, "
        f"{made - left} killed, {left} left, {len(chosen) - made} not made, "
        f"{time.monotonic() - begun:.0f} s",
        flush=True,
    )


def _places(module: Path) -> list[WorkItem]:
    """One mutant for each place in the module: cosmic-ray makes ten and more of one ``+``."""
    spared = list(_spared(ast.parse(module.read_text("utf-8"))))
    with tempfile.TemporaryDirectory() as folder:
        work = WorkDB(Path(folder) / "work.sqlite", WorkDB.Mode.create)
        init([module], work, {})
        items = sorted(work.work_items, key=_order)
        work.close()
    random.Random(str(module)).shuffle(items)
    found: dict[Span, WorkItem] = {}
    for item in items:
        spec = item.mutations[0]
        span = (tuple(spec.start_pos), tuple(spec.end_pos))
        if not any(start <= span[0] and span[1] <= end for start, end in spared):
            found.setdefault(span, item)
    return [found[span] for span in sorted(found)]


def _order(item: WorkItem) -> tuple[str, int]:
    """Ids are random: the same mutants come in the same order by this."""
    spec = item.mutations[0]
    return spec.operator_name, spec.occurrence


def _spared(tree: ast.AST) -> Iterator[Span]:
    """Where the types and decorators stand: they are for mypy, and no test looks at them."""
    for node in ast.walk(tree):
        for part in (getattr(node, "returns", None), getattr(node, "annotation", None)):
            if part is not None:
                yield (part.lineno, part.col_offset), _end(part)
        for part in getattr(node, "decorator_list", ()):
            yield (part.lineno, 0), _end(part)


def _end(node: ast.expr) -> tuple[int, int]:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.end_lineno, node.end_col_offset


def _changed(diff: str) -> list[str]:
    """The lines of a diff that tell: where, what it was, what nobody minded."""
    return [line for line in diff.splitlines() if re.match(r"@@|\+(?!\+\+)|-(?!--)", line)]


if __name__ == "__main__":
    main()
