"""What a wheel and a source archive have in them: our code, and nothing of whoever builds them."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from launcher.image.build import paths

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    *("launcher", "trainer", "datagen", "docker", "Dockerfile", "constraints.txt"),
    *("pyproject.toml", ".gitignore", "README.md", "LICENSE"),
)
CANARY = b"CANARY0123456789"
PLACES = (
    *(".env", ".env.local", "launcher/.env", "trainer/recipes/.env.local", "datagen/.env"),
    *("runs/r/train.log", "trainer/runs/r/events.jsonl", "training_data/rows.jsonl"),
    *("launcher/__pycache__/x.pyc", "state/keys/r", "checkpoints/1/x"),
)


def recipe_parts(root: Path) -> dict[str, bytes]:
    found = {name: path.read_bytes() for name, path in paths(root).items()}
    return {name: content for name, content in found.items() if content != CANARY}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project as somebody has used it in its own folder."""
    folder = tmp_path_factory.mktemp("project")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    for name in PLACES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CANARY)
    return folder


def test_a_wheel_has_our_code_and_no_secret(project, tmp_path):
    from hatchling.builders.wheel import WheelBuilder

    (built,) = WheelBuilder(str(project)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(built) as wheel:
        content = {name: wheel.read(name) for name in wheel.namelist()}
        wheel.extractall(tmp_path / "installed")
    assert recipe_parts(tmp_path / "installed") == recipe_parts(project)
    packages = [project / name for name in ("launcher", "trainer", "datagen")]
    modules = {
        path.relative_to(project).as_posix()
        for package in packages
        for path in package.rglob("*.py")
    }
    assert {"trainer/recipes/tiny.toml", *modules} < content.keys()
    assert [name for name, data in content.items() if CANARY in data] == []


def test_a_source_archive_has_no_secret(project, tmp_path):
    from hatchling.builders.sdist import SdistBuilder

    (built,) = SdistBuilder(str(project)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        archive.extractall(tmp_path, filter="data")
    files = [
        path for path in (tmp_path / built.removesuffix(".tar.gz")).rglob("*") if path.is_file()
    ]
    assert len(files) > 100
    assert [path for path in files if CANARY in path.read_bytes()] == []
