"""RunPod's cards and prices: read live, else as they were read last, else the known cards without prices."""

from pathlib import Path

from pydantic import ValidationError

from launcher.errors import ApiUnavailable, KeyForbidden, KeyRejected
from launcher.quote.gpu_names import CARDS
from launcher.runpod_api.answers import Catalog, Gpu
from launcher.secrets import runpod
from launcher.world import World
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import Fault

TRIES = 2  # a plan can be made without prices


def read(world: World, *, count: int = 1) -> tuple[Catalog, Fault | None]:
    """The catalog, and why it is not a live one: None when it is."""
    try:
        found = world.api(runpod(world).value).catalog(count, tries=TRIES)
    except (KeyRejected, KeyForbidden, ApiUnavailable) as fault:
        return _load(_path(world)) or _unpriced(count), fault
    keep(found, world)
    return found, None


def keep(catalog: Catalog, world: World) -> None:
    """Remember it for a time without network or key."""
    write_whole(_path(world), catalog.model_dump_json())


def _unpriced(count: int) -> Catalog:
    """Every card that RunPod is known to have; neither price nor stock is known."""
    known = [Gpu(id=name, memory=card.memory, secure=True) for name, card in CARDS.items()]
    return Catalog(read_at=0.0, count=count, gpus=tuple(known))


def _path(world: World) -> Path:
    return world.state_folder() / "catalog.json"


def _load(path: Path) -> Catalog | None:
    try:
        return Catalog.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
