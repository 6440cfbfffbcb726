"""Finds secrets by name. Messages may name a secret's source, but not its value. Standard library only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DOTENV = Path(".env")


@dataclass(frozen=True)
class Secret:
    """``source``: where it was found; ``value`` must not appear in messages."""

    name: str
    source: str
    value: str = field(repr=False)


def find(name: str, variable: Callable[[str], str]) -> Secret | None:
    """Look in the environment through ``variable``, then in ``.env`` of the working directory."""
    for source, value in (
        (f"environment variable {name}", variable(name)),
        (str(DOTENV), dotenv(DOTENV).get(name, "")),
    ):
        if value.strip():
            return Secret(name, source, value.strip())
    return None


def dotenv(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines, without ``export`` and quotes."""
    try:
        block = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for text in block.splitlines():
        name, separator, value = text.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            value = value.strip()
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[name.strip()] = value
    return found
