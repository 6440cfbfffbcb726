"""The engine and its images, once for the session; where there is no engine, the reason to skip."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from launcher.context import Context
from launcher.image.build import ensure_image, recipe
from launcher.settings import Settings
from launcher.view.plain import PlainView
from launcher.world import World
from tests.system.base import pip_settings, python_base
from tests.system.client import Client
from tests.system.emulator.server import Emulator
from tests.system.engine import DEBIAN, Engine, NoEngine
from tests.system.laptop import Laptop
from tests.system.story import Story, rows

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        found = Engine.connect()
    except NoEngine as fault:
        pytest.skip(f"engine tests: {fault}")
    yield found
    found.close()


@pytest.fixture(scope="session")
def sshd_image(engine: Engine) -> str:
    """An image whose pod runs sshd and nothing else, in the registry, pinned."""
    files = {path.name: path for path in (HERE / "sshd").iterdir()}
    engine.build("sft-sshd:test", files, args={"BASE_IMAGE": DEBIAN})
    return engine.push("sft-sshd:test", "sft-sshd")


@pytest.fixture(scope="session")
def image_settings(engine: Engine) -> Settings:
    """For a CPU, on a base that has this machine's way to the package index."""
    links = pip_settings().get("find-links", "")
    words = {"BASE_IMAGE": python_base(engine), "CUDA": "none", "PIP_FIND_LINKS": links}
    return Settings(
        build_args=shlex.join(f"{name}={value}" for name, value in words.items()),
        image_repo=f"{engine.registry}/sft-launch",
    )


@pytest.fixture
def context(image_settings: Settings) -> Context:
    world = World()
    return Context(world, PlainView(sys.stdout, world=world), image_settings)


@pytest.fixture
def sft_image(engine: Engine, image_settings: Settings, context: Context) -> str:
    """The image of this project, as `launch image` builds and pushes it; pinned."""
    what = recipe(image_settings)
    return ensure_image(what, str(image_settings.image_repo), client=engine.client, context=context)


@pytest.fixture(scope="session")
def login() -> paramiko.PKey:
    """A key pair to log in with."""
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def runpod(engine: Engine) -> Iterator[Emulator]:
    with Emulator(engine, grace=2.0) as emulator:
        yield emulator


@pytest.fixture
def client(runpod: Emulator) -> Iterator[Client]:
    with Client(runpod.url, runpod.keys.account) as found:
        yield found


@pytest.fixture
def laptop(runpod: Emulator, tmp_path: Path) -> Iterator[Laptop]:
    """With the emulator's address and key, and eight rows to train on."""
    runpod.billing.lag = 0.0
    (tmp_path / "rows.jsonl").write_text(rows(8), "utf-8")
    variables = {"RUNPOD_API_BASE_URL": runpod.url, "RUNPOD_API_KEY": runpod.keys.account}
    found = Laptop(tmp_path, variables)
    yield found
    found.close()


@pytest.fixture
def story(runpod: Emulator, engine: Engine, laptop: Laptop, sft_image: str) -> Story:
    return Story(runpod, engine, laptop, sft_image)
