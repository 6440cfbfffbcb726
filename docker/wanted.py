"""Works out what the image installs, from pyproject.toml and constraints.txt. Runs while it is built.

Writes ``out/NAME/`` for torch, train and datagen: requirements, the pins for them, ``install.sh``. torch
and its CUDA libraries are gigabytes and change rarely: no other version touches their folder, or their
layer.
"""

import argparse
import re
import tomllib
from pathlib import Path

INDEX = "https://download.pytorch.org/whl"
DEFAULT = "13.0"  # what the package index has
CUDA_LIBRARY = re.compile(r"(nvidia|cuda)-")  # as the default's are called
TORCH = re.compile(
    r"(torch|triton|filelock|fsspec|jinja2|markupsafe|mpmath|networkx|setuptools|sympy"
    r"|typing-extensions|numpy|(nvidia|cuda)-.*)=="
)
# Wheels that lie elsewhere are named by build arguments; empty ones are as good as none.
INSTALL = """\
set -eu
cd "$(dirname "$0")"
[ -n "${{PIP_FIND_LINKS-}}" ] || unset PIP_FIND_LINKS
[ -n "${{PIP_EXTRA_INDEX_URL-}}" ] || unset PIP_EXTRA_INDEX_URL
{index}python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action ignore \\
  --no-input --progress-bar off -c pins.txt -r requirements.txt
"""
FLAVOUR_INDEX = '[ -n "${{PIP_FIND_LINKS-}}${{PIP_EXTRA_INDEX_URL-}}" ] || export PIP_EXTRA_INDEX_URL={index}/{flavour}\n'


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuda", required=True)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    for name, text in wanted(options.folder, cuda=options.cuda).items():
        path = options.folder / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def wanted(folder: Path, *, cuda: str) -> dict[str, str]:
    """The files below ``out``."""
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = (folder / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    install = INSTALL.format(index="")
    if cuda != DEFAULT:
        flavour = "cpu" if cuda == "none" else "cu" + cuda.replace(".", "")
        install = INSTALL.format(index=FLAVOUR_INDEX.format(index=INDEX, flavour=flavour))
        # Its own version suffix: without a wheel of this flavour the build fails, not the training.
        pins = [f"{pin}+{flavour}" if pin.startswith("torch==") else pin for pin in pins]
        pins = [pin for pin in pins if not CUDA_LIBRARY.match(pin)]
    shared = [line for line in project["dependencies"] if line.startswith("pydantic")]
    files = {
        "torch/requirements.txt": "torch\n",
        "torch/pins.txt": _text([pin for pin in pins if TORCH.match(pin)]),
        "torch/install.sh": install,
    }
    if cuda != "none":
        extras["train"] += extras["fused"]
    for extra in ("train", "datagen"):
        files[f"{extra}/requirements.txt"] = _text([*shared, *extras[extra]])
        files[f"{extra}/pins.txt"] = _text(pins)
        files[f"{extra}/install.sh"] = install
    return files


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
