"""Where cells are to run: a level on this machine, or a service. The setting is SFT_SANDBOX."""

import os
from dataclasses import dataclass
from pathlib import Path

from datagen.sandbox.messages import LEVELS, Level
from trainer.contract.command.errors import Usage

SETTING = "SFT_SANDBOX"


@dataclass(frozen=True, slots=True)
class SandboxSetting:
    """``socket`` is a service's; without one, a server on this machine. ``level`` None: the strongest."""

    level: Level | None = None
    socket: Path | None = None


def from_setting(text: str | None = None) -> SandboxSetting:
    """Read ``unix:PATH``, a level, or nothing (the strongest level here).

    Without ``text`` the environment is read. Raises Usage.
    """
    text = os.environ.get(SETTING, "") if text is None else text
    if not text:
        return SandboxSetting()
    if text.startswith("unix:") and len(text) > len("unix:"):
        return SandboxSetting(socket=Path(text.removeprefix("unix:")))
    for level in LEVELS:
        if text == level:
            return SandboxSetting(level=level)
    raise Usage(
        f"unknown sandbox {text!r}",
        f"use unix:PATH of a sandbox service, or a level: {', '.join(LEVELS)}",
    )


def use(text: str) -> None:
    """Make this the setting of every sandbox from now on. Raises Usage."""
    from_setting(text)
    os.environ[SETTING] = text
