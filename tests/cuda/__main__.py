"""``make cuda-rehearsal``: installs what the CUDA image installs, and runs all of it that needs no card.

The image's own scripts fill a virtual environment in a temporary folder. ``tests.cuda.checks`` then imports, trains
and compiles with it. Prints a dated table; ends with 1 if a part fails. Needs the package index and 9 GB of disk.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CUDA = "13.0"
PARTS = ("torch", "train", "datagen")  # in the order of the image's layers
DOWNLOADED = re.compile(r"^ *Downloading .*\(([\d.]+) (kB|MB|GB)\)$", re.MULTILINE)
ON_THIS_MACHINE = re.compile(r"^ *Processing (/\S+\.whl)", re.MULTILINE)
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cuda", description=__doc__)
    parser.add_argument("--keep", type=Path, help="folder for the environment, kept; full: used")
    options = parser.parse_args()
    began = time.monotonic()
    print(f"# CUDA {CUDA} without a card, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n")
    print("| part | found | seconds |\n| --- | --- | --- |", flush=True)
    with folder(options.keep) as place:
        environment = place / "venv"
        programs = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        variables = os.environ | {
            "PATH": programs, "PYTHONPATH": str(ROOT), "TMPDIR": str(place),
            "TRITON_CACHE_DIR": str(place / "triton"), "CUDA_VISIBLE_DEVICES": "",
        }  # fmt: skip
        if not environment.exists():
            install(place, environment, variables)
        python = str(environment / "bin" / "python")
        code = subprocess.run(
            [python, "-m", "tests.cuda.checks"], cwd=ROOT, env=variables, check=False
        ).returncode
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes on {os.cpu_count()} cores.")
    return code


@contextmanager
def folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
    else:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)


def install(place: Path, environment: Path, variables: dict[str, str]) -> None:
    """Install as the Dockerfile does, and print a line for each of its layers."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, place)
    subprocess.run(
        [sys.executable, ROOT / "docker" / "wanted.py", "--cuda", CUDA, place], check=True
    )
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    for part in PARTS:
        began, before = time.monotonic(), size(environment)
        said = run(["sh", str(place / "out" / part / "install.sh")], variables)
        wheels = sum(float(count) * UNITS[unit] for count, unit in DOWNLOADED.findall(said))
        wheels += sum(Path(name).stat().st_size for name in ON_THIS_MACHINE.findall(said))
        line(
            f"install {part}",
            f"{wheels / 1e6:,.0f} MB of wheels, {(size(environment) - before) / 1e6:,.0f} MB on disk",
            began,
        )
        if part == "train":
            began = time.monotonic()
            said = run(["python", str(ROOT / "docker" / "unused_libraries.py")], variables)
            line("unused libraries", said.splitlines()[-1], began)


def run(command: list[str], variables: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
    return done.stdout


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def line(part: str, found: str, began: float) -> None:
    print(f"| {part} | {found} | {time.monotonic() - began:.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
