"""The engine and its images, once for the session; where there is no engine, the reason to skip."""

from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from tests.system.client import Client
from tests.system.emulator.server import Emulator
from tests.system.engine import DEBIAN, Engine, NoEngine

HERE = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "engine: needs a Docker engine; tests/system/setup.sh")


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
