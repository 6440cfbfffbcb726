"""One CSV and one warm sandbox for all tests that do not need their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from datagen.sandbox import CellLimits, Sandbox


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "shops.csv"
    path.write_text("city,sales,open\nBern,3,True\nBasel,5,False\nBern,4,True\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def box(csv: Path) -> Iterator[Sandbox]:
    with Sandbox({"shops": csv}, CellLimits(cell_seconds=5, episode_seconds=20)) as sandbox:
        yield sandbox
