"""Every import is declared, and every requirement pinned with all it pulls in."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_borders import PACKAGES, ROOT, SOURCES, imports, name_of

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def requirements(*, extras: bool = True, groups: bool = True) -> list[Requirement]:
    project = PYPROJECT["project"]
    found = list(project["dependencies"])
    if extras:
        found += [line for lines in project["optional-dependencies"].values() for line in lines]
    if groups:
        found += [
            line
            for lines in PYPROJECT["dependency-groups"].values()
            for line in lines
            if isinstance(line, str)
        ]
    return [Requirement(line) for line in found]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    found: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
            assert match, f"not an exact public version: {line}"
            found[canonicalize_name(match[1])] = match[2]
    return found


def test_constraints_pin_every_requirement_within_its_range():
    pinned = pins()
    needed = requirements() + [Requirement(x) for x in PYPROJECT["build-system"]["requires"]]
    for requirement in needed:
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, requirement
        assert requirement.specifier.contains(version), requirement


def test_constraints_pin_everything_installed_here():
    pinned = pins()
    todo = [r.name for r in requirements()]
    distributions = packages_distributions()
    installed = {canonicalize_name(d) for names in distributions.values() for d in names}
    seen: set[str] = set()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in seen or name not in installed:
            continue
        seen.add(name)
        assert name in pinned, name
        for line in requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    assert len(seen) > 50


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package):
    project = PYPROJECT["project"]
    extra = {"launcher": [], "trainer": ["train", "gguf"], "datagen": ["datagen", "train"]}[package]
    lines = [*project["dependencies"]]
    for name in extra:
        lines += project["optional-dependencies"][name]
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] != package:
            continue
        for module in {m.partition(".")[0] for m in imports(path)}:
            if module in sys.stdlib_module_names or module in PACKAGES:
                continue
            found = {canonicalize_name(owner) for owner in owners.get(module, [module])}
            assert found & declared, f"{name_of(path)} imports {module}"
