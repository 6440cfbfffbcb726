"""RunPod's cards and prices: read live, else as they were read last. What was read is kept."""

from pathlib import Path

from pydantic import ValidationError

from launcher.errors import ApiUnavailable, KeyRejected
from launcher.runpod_api.answers import Catalog
from launcher.secrets import runpod
from launcher.world import World
from trainer.contract.command.crash_safe_files import write_whole


def read(world: World, *, count: int = 1) -> tuple[Catalog, str]:
    """The catalog, and why it is not a live one; empty when it is.

    Raises ``KeyRejected`` or ``ApiUnavailable`` when there is no earlier one either.
    """
    try:
        found = world.api(runpod(world).value).catalog(count)
    except (KeyRejected, ApiUnavailable) as fault:
        kept = _load(_path(world))
        if kept is None:
            raise
        return kept, fault.cause
    keep(found, world)
    return found, ""


def keep(catalog: Catalog, world: World) -> None:
    """Remember it for a time without network or key."""
    write_whole(_path(world), catalog.model_dump_json())


def _path(world: World) -> Path:
    return world.state_folder() / "catalog.json"


def _load(path: Path) -> Catalog | None:
    try:
        return Catalog.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
