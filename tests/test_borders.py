"""The import rules of the design, and what may be where; read from the source, run in a fresh process."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

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
    "trainer/result/evaluation.py",  # datagen, which may not be imported, when training is done
    "trainer/gguf/engine.py",  # llama.cpp's server
    "trainer/pod/system.py",  # the pod's supervisor: trainer, sshd, guard
    "trainer/gpu_use.py",  # nvidia-smi
    "trainer/demo_model/fetch.py",  # pip download
    "trainer/processes/child.py",  # a child process
    "trainer/processes/local.py",  # of one training several processes, a card each
}
MAY_READ_ENVIRONMENT = {
    "launcher/world.py",  # XDG_STATE_HOME
    "trainer/contract/command/errors.py",  # SFT_TRACEBACK
    "trainer/contract/command/libraries.py",  # what libraries read when they are imported
    "trainer/library_log.py",  # OMP_NUM_THREADS
    "trainer/gguf/engine.py",  # OMP_NUM_THREADS
    "trainer/processes/pipe.py",  # SFT_EVENTS_FD
    "trainer/result/evaluation.py",  # SFT_EVENTS_FD, for its child
    "trainer/processes/local.py",  # what several processes inherit, and whether this is one of them
    "trainer/processes/collective.py",  # RANK, WORLD_SIZE and LOCAL_RANK, as torchrun sets them
    "trainer/pod/release.py",  # the pod's key
    "trainer/pod/supervise.py",  # the pod's settings
    "datagen/sandbox/level.py",  # SFT_SANDBOX
    "datagen/sandbox/start_server.py",  # what of it the sandbox may see
    "datagen/evaluation/progress_events.py",  # SFT_EVENTS_FD: who started the evaluation hears how far it is
    "datagen/models/paid_api/settings.py",  # SFT_DATAGEN_*, the API's key
    "datagen/models/vllm/server.py",  # what vLLM inherits, and its own key
}
MAY_SPEAK_HTTP = {
    "launcher/runpod_api/http.py",
    "trainer/pod/release.py",
    "trainer/gguf/engine.py",  # llama.cpp's server, on the loopback
    "datagen/models/paid_api/client.py",  # models behind an OpenAI-compatible API
    "datagen/models/served.py",  # launch serve, for a chat
    "datagen/models/vllm/model.py",  # our own vLLM on the loopback
}

# Which room of a package may import which, from the bottom up: a room imports only rooms above it, so
# there is no circle. A name is a folder, or a module that stands in none; after the arrow, what it needs.
ROOMS = {
    "launcher": """
        errors         ->
        ssh            -> errors
        docker_engine  -> errors
        runpod_api     -> errors
        world          -> docker_engine runpod_api ssh
        settings       -> world
        secrets        -> errors world
        view           -> world
        context          -> settings view world
        runs           -> errors settings view world
        tracking       -> runs context view
        report         -> runs
        image          -> docker_engine errors context settings view
        quote          -> errors runpod_api runs secrets settings view world
        rental         -> context errors image quote runpod_api runs secrets settings view world
        pod            -> context errors quote rental runpod_api runs secrets ssh world
        machines       -> context docker_engine image pod quote rental runpod_api runs secrets ssh
                          world
        follow         -> errors machines runs context
        request        -> errors machines runs settings world
        preflight      -> context machines quote runs tracking
        train          -> follow machines preflight quote request runs context tracking view world
        stop           -> follow machines request runs context train view world
        skypilot       -> image pod quote request runs settings view world
        demo           -> report request runs train view world
        doctor         -> docker_engine machines quote rental secrets settings ssh world
        live_check     -> context doctor quote rental request runpod_api runs secrets settings stop
                          train view world
        verbs          -> demo doctor follow image live_check machines quote rental report request
                          runs context settings skypilot stop tracking train view world
        cli            -> verbs world
        __main__       -> cli
    """,
    "datagen": """
        missing_package    ->
        progress           ->
        judge.answer_types ->
        episode            -> judge.answer_types
        tables             -> episode judge.answer_types
        models             -> episode missing_package progress
        sandbox            -> episode missing_package tables
        prompts            -> episode sandbox
        judge              -> episode judge.answer_types prompts
        questions          -> episode judge judge.answer_types sandbox tables
        episodes           -> episode judge judge.answer_types models progress prompts questions sandbox
                              tables
        dataset            -> episode episodes judge.answer_types models prompts tables
        evaluation         -> episode episodes judge judge.answer_types models progress sandbox tables
        chat               -> episode episodes judge.answer_types models prompts sandbox tables
        verbs              -> chat dataset episode episodes evaluation judge models progress questions sandbox
                              tables
        cli                -> missing_package sandbox verbs
        __main__           -> cli
    """,
    "trainer": """
        contract.command ->
        contract.sizing  ->
        device           ->
        free_memory      ->
        gpu_use          ->
        library_log      ->
        signals          ->
        tiny             ->
        demo_model       -> contract.command library_log
        contract         -> contract.command contract.sizing
        adapter          -> contract
        checkpoints      -> contract contract.command
        attention        -> adapter contract contract.command
        out_of_memory    -> contract.command device free_memory
        processes        -> contract contract.command device library_log signals
        reporting        -> contract processes
        pretrained       -> attention contract contract.command contract.sizing device
                            out_of_memory processes
        data             -> attention checkpoints contract contract.command contract.sizing device
                            free_memory library_log out_of_memory pretrained processes reporting
        run_context      -> checkpoints contract data processes reporting signals
        loop             -> adapter attention checkpoints contract contract.command contract.sizing
                            data device gpu_use out_of_memory pretrained processes reporting
                            run_context
        result           -> adapter attention checkpoints contract contract.command contract.sizing
                            data device library_log loop pretrained processes reporting signals
        gguf             -> contract contract.command data device library_log pretrained result
                            signals
        pod              -> checkpoints contract contract.command gpu_use processes result
        training_run     -> attention checkpoints contract contract.command data device loop
                            out_of_memory pretrained processes reporting result run_context signals
        start_training   -> checkpoints contract contract.command library_log out_of_memory processes
                            reporting signals training_run
        __main__         -> contract contract.command data gguf out_of_memory processes result
                            start_training
    """,
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


def module_of(path: Path) -> str:
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def table_of(package: str) -> dict[str, set[str]]:
    rows = re.findall(r"(\S+) +->([^>]*)(?=\n +\S+ +->|\s*$)", ROOMS[package])
    return {room: set(needs.split()) for room, needs in rows}


def arrows(package: str) -> dict[str, set[str]]:
    """For each room, which others of its package it imports."""
    modules = {module_of(path): path for path in SOURCES if path.is_relative_to(ROOT / package)}
    del modules[package]
    rows = table_of(package)

    def room(module: str) -> str:
        own = module.removeprefix(package + ".")
        inner = next((row for row in rows if "." in row and inside(own, row)), None)
        return inner or own.partition(".")[0]

    found: dict[str, set[str]] = {room(module): set() for module in modules}
    for module, path in modules.items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                of = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [one if one in modules else node.module for one in of]
            else:
                continue
            found[room(module)] |= {room(one) for one in named if one in modules} - {room(module)}
    return found


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_what_the_table_says(package):
    assert arrows(package) == table_of(package)
    above: set[str] = set()
    for room, needs in table_of(package).items():
        assert needs <= above, f"{room} imports a room below it"
        above.add(room)


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


@pytest.mark.parametrize("module", ["trainer/device.py", "datagen/models/device.py"])
def test_one_module_of_a_package_asks_which_device_there_is(module):
    package = module.partition("/")[0] + "/"
    sources = [path for path in SOURCES if name_of(path).startswith(package)]
    assert {name_of(path) for path in sources if asks_for_the_device(path)} == {module}


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


def test_no_folder_has_more_files_than_a_reader_keeps_in_mind():
    """At most 18, the verbs apart; the folders below are still to be divided."""
    held = Counter(name_of(path.parent) for path in SOURCES if path.parent.name != "verbs")
    large: set[str] = set()
    assert {folder for folder, count in held.items() if count > 18} == large


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


def test_any_module_can_be_the_first_that_is_imported():
    """A circle of imports may work from one side and fail from the other, as a user comes from."""
    modules = [
        module_of(path)
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
