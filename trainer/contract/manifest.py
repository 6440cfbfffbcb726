"""The manifest of a result: size and SHA-256 of every file, and how the result was made.

It is written last: a run folder without a manifest is not complete. Checking it needs no torch.
"""

import hashlib
import json
import struct
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.contract.adapter_tensors import adapter_faults
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import NotFound, ResultRejected

NAME = "manifest.json"
ADAPTER = "adapter"
BLOCK = 1024 * 1024
LARGEST_HEADER = 100 * 1024 * 1024  # the safetensors format's own limit
AGAIN = "copy the result again; if the error stays, train again"


class File(BaseModel):
    """Size in bytes and SHA-256 in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int
    sha256: str


class ReloadProof(BaseModel):
    """A clean base with the adapter from disk, compared with the trained model on some rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    equal: bool = Field(description="every logit is within the tolerance")
    max_abs_diff: float = Field(description="largest difference of a logit")
    tolerance: float = 0.0
    base_max_abs_diff: float = Field(description="the same against the base alone: above zero")
    rows: int
    attention_diff: float | None = Field(
        None,
        description="nats a token: packed rows as trained, compared with the model's own attention",
    )


class Manifest(BaseModel):
    """``files`` is keyed by the path relative to the run folder, with forward slashes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: int = 1
    complete: bool
    created: str = Field(description="UTC, ISO 8601")
    files: dict[str, File]
    job_hash: str
    data_sha256: str
    base_model: str
    revision: str | None
    template_sha256: str = Field(description="of the frozen chat template")
    versions: dict[str, str]
    device: str
    precision: str
    seed: int
    metrics: dict[str, float | int | None]
    reload_proof: ReloadProof | None

    def write(self, path: Path) -> None:
        """Write to ``path`` in one step: a reader sees the old file or the whole new one."""
        write_whole(path, self.model_dump_json(indent=2) + "\n")


def hash_file(path: Path) -> File:
    """Return the size and SHA-256 of the file at ``path``."""
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return File(size=size, sha256=digest.hexdigest())


def hash_files(folder: Path, names: list[str]) -> dict[str, File]:
    """Hash ``names`` in ``folder``; a name that is a folder stands for every file below it."""
    found: dict[str, File] = {}
    for name in names:
        path = folder / name
        members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for member in members:
            found[member.relative_to(folder).as_posix()] = hash_file(member)
    return found


def load(path: Path) -> Manifest:
    """Read a manifest file. Raises ``NotFound`` or ``ResultRejected``."""
    try:
        return parse(path.read_bytes(), source=str(path))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "the run has not finished") from None


def parse(block: bytes, *, source: str) -> Manifest:
    """Read a manifest that came from ``source``. Raises ``ResultRejected``."""
    try:
        return Manifest.model_validate_json(block)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultRejected(f"{source}: {where}: {first['msg']}", AGAIN) from None


def verify(folder: Path) -> Manifest:
    """Check every file of the run folder against its manifest, and the adapter's tensors.

    Raises ``NotFound`` without a manifest, and ``ResultRejected``, which names every mismatch.
    """
    manifest = load(folder / NAME)
    faults = []
    for name, expected in manifest.files.items():
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts:
            faults.append(f"{name}: lies outside the run folder")
        elif not (folder / name).is_file():
            faults.append(f"{name}: is missing")
        elif (found := hash_file(folder / name)) != expected:
            what = "size" if found.size != expected.size else "SHA-256"
            faults.append(f"{name}: {what} differs from the manifest")
    listed = set(manifest.files)
    faults += [
        f"{name}: is not in the manifest"
        for name in (p.relative_to(folder).as_posix() for p in (folder / ADAPTER).rglob("*"))
        if name not in listed and (folder / name).is_file()
    ]
    weights = f"{ADAPTER}/adapter_model.safetensors"
    if manifest.complete and weights not in listed:
        faults.append(f"{weights}: is not in the manifest")
    if not faults and weights in listed:
        faults = check_adapter(folder / ADAPTER)
    if faults:
        raise ResultRejected(
            f"{folder}: the result does not match its manifest", AGAIN, faults=faults
        )
    return manifest


def safetensors_header(path: Path) -> dict[str, Any]:
    """Return name → {dtype, shape, data_offsets}. Raises ``ValueError`` for an incomplete file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError("shorter than its header")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(LARGEST_HEADER, size - 8):
            raise ValueError("shorter than its header")
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")  # noqa: TRY004 - one kind for the caller
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    if end != size - 8 - length:
        raise ValueError("tensor data is cut or has more at its end")
    return header


def check_adapter(folder: Path) -> list[str]:
    """Return the faults in a saved LoRA adapter's names, shapes and ranks."""
    path = folder / "adapter_model.safetensors"
    try:
        tensors = safetensors_header(path)
        config = json.loads((folder / "adapter_config.json").read_bytes())
        return [f"{path.name}: {fault}" for fault in adapter_faults(tensors, config)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return [f"{path.name}: {error}"]
