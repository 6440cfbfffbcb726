"""Secrets, found by name. The source of a secret may be shown, its value never."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launcher.errors import KeyRejected
from launcher.world import World
from trainer.contract.command.secrets import Secret
from trainer.contract.command.secrets import find as find_anywhere

RUNPOD = "RUNPOD_API_KEY"
HUGGING_FACE = "HF_TOKEN"


def runpod(world: World) -> Secret:
    """The RunPod key. Raises ``KeyRejected`` when it is missing."""
    found = find(RUNPOD, world)
    if found is None:
        raise KeyRejected(
            "no RunPod key",
            f"make one at RunPod under Settings > API Keys, then: export {RUNPOD}=...",
        )
    return found


def find(name: str, world: World) -> Secret | None:
    """Look in the environment, then in ``.env`` here, then in its own tool's file."""
    if found := find_anywhere(name, world.variable):
        return found
    for source, value in _own_files(name, world):
        if value.strip():
            return Secret(name, source, value.strip())
    return None


def _own_files(name: str, world: World) -> Iterator[tuple[str, str]]:
    if name == RUNPOD:
        path = world.home() / ".runpod" / "config.toml"
        yield str(path), _vendor_key(path)
    if name == HUGGING_FACE:
        path = Path(world.variable("HF_TOKEN_PATH") or world.hub_folder() / "token")
        yield str(path), _text(path)


def _vendor_key(path: Path) -> str:
    """RunPod's Python tool writes ``[default] api_key``, its Go tool ``apikey``."""
    try:
        data: dict[str, Any] = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError:
        return ""
    default = data.get("default")
    found = data.get("apikey") or (default.get("api_key") if isinstance(default, dict) else "")
    return found if isinstance(found, str) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
