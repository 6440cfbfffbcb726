"""The engine and its images, once for the session; where there is no engine, the reason to skip."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.engine import DEBIAN, Engine, NoEngine

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
