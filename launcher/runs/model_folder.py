"""A base model that is a folder here: small ones are uploaded, as one archive that is equal for equal content."""

import shlex
import tarfile
from pathlib import Path

from trainer.contract.command.errors import NotFound, Usage

MOST = 50_000_000
"""Bytes; what is larger comes sooner from a hub in a data centre than from a home."""


def check(folder: Path) -> None:
    """Raise ``NotFound`` where the folder is gone, ``Usage`` for one that cannot be uploaded."""
    if not folder.is_dir():
        raise NotFound(f"the model folder {folder} is missing", "restore it")
    if (folder / "adapter_config.json").is_file() or not (folder / "config.json").is_file():
        raise Usage(
            f"{folder} contains no base model", "name a folder with config.json, or a hub model"
        )
    size = sum(path.stat().st_size for path in files(folder))
    if size > MOST:
        raise Usage(
            f"{folder} has {size / 1e6:,.0f} MB; a model folder of at most {MOST / 1e6:.0f} MB can be uploaded",
            f"push it to the Hugging Face hub (it may be private: set HF_TOKEN) with: "
            f"hf upload ME/MODEL {shlex.quote(str(folder))}; then: --model ME/MODEL",
        )


def files(folder: Path) -> list[Path]:
    """The model's files, sorted; nothing hidden, such as a hub's cache or a repository."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )


def pack(folder: Path, archive: Path) -> None:
    """Write the folder to ``archive``; links to files become the files."""
    with tarfile.open(archive, "w") as tar:
        for path in files(folder):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(entry, content)
