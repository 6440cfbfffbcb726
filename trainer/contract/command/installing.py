"""The command that installs missing packages, for a checkout and for an installed wheel."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def install(extras: str) -> str:
    """Return the pip command for these extras: of the project's folder if the code lies in one."""
    if (ROOT / "pyproject.toml").is_file():
        return f"pip install -c constraints.txt '.[{extras}]' (in the project's folder)"
    return f"pip install 'sft-launch[{extras}]'"
