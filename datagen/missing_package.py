"""Report a missing package with the command that installs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from trainer.contract.command.errors import NotInstalled
from trainer.contract.command.installing import install

LEFT_OUT = ("datagen.questions", "datagen.dataset")  # of the image that trains
DATAGEN = f"install it with: {install('datagen')}"
LOCAL_MODEL = f"to run a local model: {install('train,datagen')}"


@contextmanager
def needing(install: str) -> Iterator[None]:
    """Turn an ImportError inside the block into NotInstalled with the hint `install`."""
    try:
        yield
    except ImportError as error:
        raise NotInstalled(f"{error.name} is not installed", install) from error


@contextmanager
def needing_all_of_datagen() -> Iterator[None]:
    """Turn the failed import of what the image that trains lacks into NotInstalled."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = next((one for one in LEFT_OUT if f"{error.name}.".startswith(f"{one}.")), None)
        if missing is None:
            raise
        raise NotInstalled(
            f"this image cannot make data: it lacks {missing}",
            "run the command where you run launch, or in the image of --target cpu",
        ) from error


def openai_package() -> Any:
    """`openai`, which takes long to import. Raises NotInstalled."""
    with needing(DATAGEN):
        return import_module("openai")
