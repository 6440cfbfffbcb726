"""compose.yaml with the real image, in whichever generation of compose this machine has."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen.tables.table import bundled_tables
from tests.system.base import pip_settings, python_base
from tests.system.compose import ROOT, Compose, NoCompose, command

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

OWNER = 1234 if os.getuid() == 0 else os.getuid()
KEY = "sk-or-canary"
CELL = """
import json, sys
from pathlib import Path
from datagen.sandbox import Sandbox
with Sandbox({"t": Path(sys.argv[1])}) as box, box.episode() as episode:
    result = episode.run(sys.argv[2])
    print(json.dumps([box.level, result.answer, result.stderr]))
"""


@pytest.fixture(scope="module")
def image(engine) -> str:
    """The target `cpu`, built by compose itself from the real files."""
    try:
        words = command()
    except NoCompose as fault:
        pytest.skip(str(fault))
    name = "sft-launch-compose:test"
    environment = {
        **os.environ,
        "SFT_IMAGE": name,
        "SFT_BASE_IMAGE": python_base(engine),
        "SFT_FIND_LINKS": pip_settings().get("find-links", ""),
        "DOCKER_BUILDKIT": "0",
    }
    subprocess.run([*words, "build", "datagen"], cwd=ROOT, env=environment, check=True)
    return name


@pytest.fixture(scope="module")
def project(image, tmp_path_factory) -> Iterator[Compose]:
    """A folder of somebody else's with compose.yaml and two tables in it, and its sandbox."""
    folder = tmp_path_factory.mktemp("compose")
    (folder / "data").mkdir()
    shutil.copy(ROOT / "compose.yaml", folder)
    for path in bundled_tables():
        if path.stem in {"airlines", "penguins"}:
            shutil.copy(path, folder / "data")
    (folder / "secret.csv").write_text("key\ncanary\n", "utf-8")
    for parent in (folder.parent, folder, folder / "data"):
        parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, OWNER, OWNER if os.getuid() == 0 else os.getgid())
    found = Compose(command(), folder, image, f"sft-test-{os.getpid()}")
    yield found
    found.run("down", "--volumes", "--timeout", "2")


def cell(project: Compose, code: str, table: str = "data/penguins.csv") -> Any:
    """Level, answer and error of one cell that `datagen` sends to `sandbox`."""
    script = project.folder / "cell.py"
    script.write_text(CELL, "utf-8")
    words = ("run", "--rm", "-T", "--entrypoint", "python", "datagen", "cell.py", table, code)
    return json.loads(project.ran(*words).splitlines()[-1])


def test_episodes_and_evaluation_come_out_as_the_owners(project):
    made = "data/penguins.csv --out made --teacher scripted --per-table 4"
    tiny = "--source template --families basic --prompt brief"  # what the bundled model can read
    said = project.ran("run", "--rm", "-T", "datagen", "episodes", *made.split(), *tiny.split())
    assert "sandbox full" in said
    adapter = tiny_adapter(project)
    words = ("--model", adapter, "--episodes", "made/episodes.jsonl", "--out", "judged")
    project.ran("run", "--rm", "-T", "evaluate", *words, "--limit", "2")
    comparison = json.loads((project.folder / "judged" / "comparison.json").read_text("utf-8"))
    assert comparison["n"] == 2
    made_by_us = [path for name in ("made", "judged", "run") for path in found(project, name)]
    assert {path.stat().st_uid for path in made_by_us} == {OWNER}


def found(project: Compose, name: str) -> list[Path]:
    folder = project.folder / name
    return [folder, *folder.rglob("*")]


def tiny_adapter(project: Compose) -> str:
    """An adapter of the bundled model, trained for two steps in the same image."""
    rows = project.folder / "rows.jsonl"
    talk = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "submit(2)"}]
    rows.write_text(f"{json.dumps({'messages': talk})}\n" * 4, "utf-8")
    sets = ["max_steps=2", "batch_size=2", "data=rows.jsonl", "output=run", "model=bundled:tiny"]
    options = [word for one in sets for word in ("--set", one)]
    entry = ("--entrypoint", "tini -- /opt/sft/entrypoint train")
    project.ran("run", "--rm", "-T", *entry, "datagen", *options)
    return "run"


def test_the_sandbox_has_nothing_to_lose(project):
    project.ran("up", "-d", "sandbox")
    found: Any = project.inspected("sandbox")
    host, config = found["HostConfig"], found["Config"]
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["PidsLimit"] == 1024
    assert host["Memory"] == 8 * 1024**3
    assert config["User"] == "65534:65534"
    assert not [word for word in config["Env"] if "KEY" in word]
    mounts = {mount["Destination"]: mount["RW"] for mount in found["Mounts"]}
    assert mounts == {"/workspace/data": False, "/run/sandbox": True}


def test_a_cell_reads_its_table_and_nothing_else(project):
    assert cell(project, "submit(len(df))") == ["full", 344, ""]
    level, answer, error = cell(project, "submit(open('/workspace/data/penguins.csv').read())")
    assert (level, answer) == ("full", None)
    assert error.startswith("PermissionError")
    assert cell(project, "import os\nsubmit(os.environ.get('OPENROUTER_API_KEY'))")[1] is None
    assert cell(project, "import socket\nsocket.socket()")[2].startswith("PermissionError")


def test_a_table_outside_the_data_folder_is_refused(project):
    shutil.copy(project.folder / "data" / "penguins.csv", project.folder / "elsewhere.csv")
    words = "episodes elsewhere.csv --out never --teacher scripted --per-table 4"
    done = project.run("run", "--rm", "-T", "datagen", *words.split())
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "/workspace/elsewhere.csv: outside the folders that the sandbox service may read" in said
    assert "move the tables to /workspace/data and make the episodes again" in said


def test_the_key_is_in_the_generator_alone(project):
    look = "import os; print('OPENROUTER_API_KEY' in os.environ)"
    told = [
        project.ran(
            *("run", "--rm", "-T", "--entrypoint", "python", service, "-c", look),
            OPENROUTER_API_KEY=KEY,
        ).strip()
        for service in ("datagen", "evaluate", "sandbox")
    ]
    assert told == ["True", "False", "False"]


def test_a_sandbox_that_was_killed_comes_back(project):
    assert cell(project, "submit(1)")[1] == 1
    subprocess.run(["docker", "kill", project.container("sandbox")], check=True)
    assert cell(project, "submit(2)")[1] == 2


def test_the_owner_of_the_tables_may_run_the_sandbox(project, tmp_path):
    """Where others may not read them; root, who may do so anyway, has to look elsewhere."""
    table = project.folder / "data" / "airlines.csv"
    table.chmod(0o600)
    script = ("run", "--rm", "-T", "--entrypoint", "python", "datagen", "cell.py")
    done = project.run(*script, "data/airlines.csv", "submit(len(df))")
    assert "chmod o+r airlines.csv" in done.stdout + done.stderr
    project.ran("up", "-d", "sandbox", SFT_SANDBOX_USER=f"{OWNER}:{OWNER}")
    done = project.run(
        *script, "data/airlines.csv", "submit(len(df))", SFT_SANDBOX_USER=f"{OWNER}:{OWNER}"
    )
    assert json.loads(done.stdout.splitlines()[-1]) == ["full", 16, ""]


def test_training_asks_for_a_gpu(project):
    """Only read: there may be none here."""
    told = project.ran("--profile", "gpu", "config")
    assert "capabilities" in told
    assert "/opt/sft/entrypoint" in told
    assert (
        Path(project.folder / "compose.yaml").read_bytes() == (ROOT / "compose.yaml").read_bytes()
    )
