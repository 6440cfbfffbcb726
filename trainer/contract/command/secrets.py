"""Secrets, found by name. Where each came from may be told, its value never is. Standard library only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DOTENV = Path(".env")


@dataclass(frozen=True)
class Secret:
    """``source`` says where it was found; ``value`` stands in no message."""

    name: str
    source: str
    value: str = field(repr=False)


def find(name: str, variable: Callable[[str], str]) -> Secret | None:
    """Look in the environment through ``variable``, then in ``.env`` here."""
    for source, value in (
        (f"environment variable {name}", variable(name)),
        (str(DOTENV), dotenv(DOTENV).get(name, "")),
    ):
        if value.strip():
            return Secret(name, source, value.strip())
    return None


def dotenv(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines: ``export`` before and quotes around are dropped."""
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
