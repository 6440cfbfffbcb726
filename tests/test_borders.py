"""The import rules of the design, and what may be where; read from the source, run in a fresh process."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("launcher", "trainer", "datagen")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ENTRIES = ("cli.py", "__main__.py")
SCRIPTS = {"trainer/tiny/make.py"}  # run by hand, once
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "numpy",
    "matplotlib",
    "docker",
    "paramiko",
    "httpx",
    "httpx2",
    "requests",
    "datasets",
    "trl",
    "peft",
    "openai",
    "aiohttp",
)

# The files that touch the outside. Adding one is a decision: add it here.
MAY_START_PROCESSES = {
    "launcher/world.py",
    "datagen/sandbox/start_server.py",  # the sandbox's server
    "datagen/sandbox/server/children.py",  # a fork per episode
    "datagen/sandbox/server/service.py",  # a server per client
    "datagen/models/vllm/__main__.py",  # vLLM, which ends when we do
    "datagen/models/vllm/server.py",  # that
    "trainer/evaluation.py",  # datagen, which may not be imported, when training is done
    "trainer/outside.py",  # the pod's supervisor: trainer, sshd, guard
    "trainer/ranks.py",  # of one training several processes, a card each
}
MAY_READ_ENVIRONMENT = {
    "launcher/world.py",  # XDG_STATE_HOME
    "trainer/contract/errors.py",  # SFT_TRACEBACK
    "trainer/contract/libraries.py",  # what libraries read when they are imported
    "trainer/quiet.py",  # OMP_NUM_THREADS
    "trainer/pipe.py",  # SFT_EVENTS_FD
    "trainer/evaluation.py",  # SFT_EVENTS_FD, for its child
    "trainer/ranks.py",  # what several processes inherit, and whether this is one of them
    "trainer/together.py",  # RANK, WORLD_SIZE and LOCAL_RANK, as torchrun sets them
    "trainer/release.py",  # the pod's key
    "trainer/supervise.py",  # the pod's settings
    "datagen/sandbox/level.py",  # SFT_SANDBOX
    "datagen/sandbox/start_server.py",  # what of it the sandbox may see
    "datagen/evaluation/progress_events.py",  # SFT_EVENTS_FD: who started the evaluation hears how far it is
    "datagen/models/paid_api/settings.py",  # SFT_DATAGEN_*, the API's key
    "datagen/models/vllm/server.py",  # what vLLM inherits, and its own key
}
MAY_SPEAK_HTTP = {
    "launcher/runpod_api/http.py",
    "trainer/release.py",
    "datagen/models/paid_api/client.py",  # models behind an OpenAI-compatible API
    "datagen/models/vllm/model.py",  # our own vLLM on the loopback
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Every imported module, wherever in the file; of ``from a import b`` also ``a.b``."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module in PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def each_source(test):
    return pytest.mark.parametrize("path", SOURCES, ids=name_of)(test)


@each_source
def test_imports_of_our_own(path):
    name = name_of(path)
    for module in imports(path):
        if name.startswith("trainer/contract/"):
            assert not any(inside(module, p) for p in PACKAGES) or inside(
                module, "trainer.contract"
            ), module
        elif name.startswith("trainer/"):
            assert not inside(module, "launcher"), module
            assert not inside(module, "datagen"), module
        else:
            other = "datagen" if name.startswith("launcher/") else "launcher"
            assert not inside(module, other), module
            if inside(module, "trainer"):
                assert module == "trainer" or inside(module, "trainer.contract"), module
        if module == "trainer" and not name.startswith("trainer/"):
            # `from trainer import contract` also yields trainer.contract, judged above
            assert any(inside(m, "trainer.contract") for m in imports(path)), module


@pytest.mark.parametrize("path", sorted((ROOT / "trainer" / "contract").glob("*.py")), ids=name_of)
def test_the_contract_needs_the_standard_library_and_pydantic(path):
    allowed = {*sys.stdlib_module_names, "pydantic", "trainer"}
    if path.name == "errors.py":
        allowed.remove("pydantic")
    assert {module.partition(".")[0] for module in imports(path)} <= allowed


@each_source
def test_no_relative_imports(path):
    levels = [n.level for n in ast.walk(tree_of(path)) if isinstance(n, ast.ImportFrom)]
    assert not any(levels)


@each_source
def test_only_entries_print_and_exit(path):
    if path.name in ENTRIES or path.parent.name == "verbs" or name_of(path) in SCRIPTS:
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"print", "sys.exit", "exit", "quit"}, node.lineno
        if isinstance(node, ast.Raise) and node.exc is not None:
            assert "SystemExit" not in ast.unparse(node.exc), node.lineno


STARTS = {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"}
PROCESSES = ("subprocess", "multiprocessing", "pty", "asyncio.subprocess")
HTTP = ("httpx", "httpx2", "requests", "aiohttp", "openai", "urllib.request", "http.client")


def os_names(path: Path) -> set[str]:
    """What the file uses of the module os."""
    names = {
        node.attr
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os"
    }
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names |= {alias.name for alias in node.names}
    return names


def starts_processes(path: Path) -> bool:
    named = any(inside(module, process) for module in imports(path) for process in PROCESSES)
    return named or any(
        name in STARTS or name.startswith(("exec", "spawn")) for name in os_names(path)
    )


def reads_environment(path: Path) -> bool:
    return bool(os_names(path) & {"environ", "environb", "getenv", "putenv", "unsetenv"})


def speaks_http(path: Path) -> bool:
    return any(inside(module, client) for module in imports(path) for client in HTTP)


def asks_for_the_device(path: Path) -> bool:
    """Whether the file asks torch or a tensor which device it is on."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in {"cuda", "is_cuda", "is_cpu"})
        or (isinstance(node, ast.Constant) and node.value in {"cuda", "cpu"})
        for node in ast.walk(tree_of(path))
    )


def test_one_module_asks_which_device_the_trainer_is_on():
    trainer = [path for path in SOURCES if name_of(path).startswith("trainer/")]
    asking = {name_of(path) for path in trainer if asks_for_the_device(path)}
    assert asking == {"trainer/device.py"}


@pytest.mark.parametrize(
    ("touches", "allowed"),
    [
        (starts_processes, MAY_START_PROCESSES),
        (reads_environment, MAY_READ_ENVIRONMENT),
        (speaks_http, MAY_SPEAK_HTTP),
    ],
)
def test_the_outside_is_touched_in_few_files(touches, allowed):
    assert {name_of(path) for path in SOURCES if touches(path)} == allowed


@each_source
def test_size_and_names(path):
    assert len(path.read_text("utf-8").splitlines()) <= 400
    parts = {path.stem, *(parent.name for parent in path.relative_to(ROOT).parents)}
    assert not parts & {"utils", "util", "helpers", "helper", "common", "core", "manager"}


def loaded_by(code: str, *arguments: str) -> set[str]:
    """The top-level modules, and ours in full, that a fresh process has after ``code``."""
    report = "\nimport json, sys; sys.stderr.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + report, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def contract_modules() -> list[str]:
    found = (ROOT / "trainer" / "contract").glob("*.py")
    return [f"trainer.contract.{path.stem}" for path in found if path.stem != "__init__"]


def test_importing_the_contract_and_the_cli_pulls_in_nothing_heavy():
    loaded = loaded_by(f"import launcher.cli, launcher.__init__, {', '.join(contract_modules())}")
    assert loaded.isdisjoint(HEAVY)
    assert "trainer.contract.job" in loaded


@pytest.mark.parametrize(
    "module", ["launcher.train", "launcher.runs.run_folder", "launcher.view.live"]
)
def test_the_launcher_never_loads_what_is_heavy(module):
    assert loaded_by(f"import {module}").isdisjoint(HEAVY)


def test_help_builds_no_job_model():
    loaded = loaded_by(
        "import sys\nfrom launcher.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    )
    assert loaded.isdisjoint({*HEAVY, "pydantic", "rich", "trainer.contract.job"})
    assert "launcher.cli" in loaded


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
    extra = {"launcher": [], "trainer": ["train"], "datagen": ["datagen", "train"]}[package]
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


def test_any_module_can_be_the_first_that_is_imported():
    """A circle of imports may work from one side and fail from the other, as a user comes from."""
    modules = [
        name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in SOURCES
        if path.name != "__main__.py" and name_of(path).startswith("launcher/")
    ]

    def fault(module: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return f"{module}: {done.stderr}" if done.returncode else ""

    with ThreadPoolExecutor(4) as pool:
        assert [found for found in pool.map(fault, modules) if found] == []
