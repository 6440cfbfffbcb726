"""``python -m tests.cuda.checks``, in an environment with the CUDA build of torch: rows of the table of ``tests.cuda``.

A machine without a driver shows as well which libraries come from outside the environment: what is not there was
not needed, apart from the driver.
"""

import ast
import ctypes
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path

from trainer.contract import manifest
from trainer.contract.command import libraries

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "triton", "bitsandbytes", "transformers", "trl", "peft", "accelerate")
NOT_IN_THE_IMAGE = ("trainer/gguf/", "trainer/tiny/", "trainer/demo_model/")
ROWS = ROOT / "examples" / "chats.jsonl"


def versions() -> str:
    import torch

    found = [f"Python {sys.version.split()[0]}", *(f"{x} {metadata.version(x)}" for x in LIBRARIES)]
    return f"{', '.join(found)}; torch is built for CUDA {torch.version.cuda}"


def imports() -> str:
    """Import all that the trainer imports, also within functions, and the names that it imports from there."""
    found: set[str] = set()
    for path in (ROOT / "trainer").rglob("*.py"):
        if path.relative_to(ROOT).as_posix().startswith(NOT_IN_THE_IMAGE):
            continue
        for module, name in imported(ast.parse(path.read_text("utf-8"))):
            loaded = import_module(module)
            found.add(module)
            if name and not hasattr(loaded, name):
                import_module(f"{module}.{name}")
    others = {module.partition(".")[0] for module in found} - {*sys.stdlib_module_names, "trainer"}
    return (
        f"{len(found)} modules, of {len(others)} packages beside the trainer and Python's library"
    )


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def bitsandbytes() -> str:
    """Load its library for CUDA as it would on a card, and look for each function that it calls there."""
    import torch
    from bitsandbytes.consts import PACKAGE_DIR

    (path,) = Path(PACKAGE_DIR).glob("libbitsandbytes_cuda*.so")
    library = ctypes.CDLL(str(path))
    text = (Path(PACKAGE_DIR) / "backends" / "cuda" / "ops.py").read_text("utf-8")
    called = sorted(set(re.findall(r"\blib\.(\w+)", text)))
    missing = [name for name in called if not hasattr(library, name)]
    assert not missing, missing
    assert not torch.cuda.is_available(), "there is a card: make gpu shows more"
    return f"{path.name} loaded; it has the {len(called)} functions that are called by name"


def cards() -> str:
    import torch

    return str(torch._C._cuda_getArchFlags())


def outside() -> str:
    """Name the loaded libraries that neither the environment nor its Python brings."""
    maps = Path("/proc/self/maps").read_text("utf-8")
    loaded = {Path(x) for x in re.findall(r"(/\S+\.so[.\d]*)$", maps, re.MULTILINE)}
    brought = [Path(folder).resolve() for folder in (sys.prefix, sysconfig.get_path("stdlib"))]
    cuda = [x for x in loaded if "nvidia" in x.parts]
    rest = {x.name for x in loaded if not any(x.resolve().is_relative_to(y) for y in brought)}
    return f"{', '.join(sorted(rest))}; {len(cuda)} of NVIDIA's lie in the environment"


def tiny_recipe() -> str:
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-P", "-m", "trainer", "--recipe", "tiny"]
        command += ["--data", str(ROWS), "--output", f"{name}/run"]
        done = subprocess.run(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:]
        result = manifest.verify(Path(name) / "run")
        assert result.complete
        return f"trained on {ROWS.name}, adapter and manifest complete"


def main() -> int:
    libraries.prepare_environment()
    libraries.import_bitsandbytes()
    parts: tuple[tuple[str, Callable[[], str]], ...] = (
        ("versions", versions),
        ("imports", imports),
        ("bitsandbytes", bitsandbytes),
        ("cards that torch is built for", cards),
        ("libraries from outside", outside),
        ("tiny recipe on the CPU", tiny_recipe),
    )
    failed = 0
    for part, check in parts:
        began = time.monotonic()
        try:
            found = check()
        except Exception as error:  # noqa: BLE001 - the other parts do not depend on it
            failed, found = 1, f"failed: {type(error).__name__}: {error}"
        print(f"| {part} | {found} | {time.monotonic() - began:.0f} |", flush=True)
    print()
    from tests.bench.kernels import compiled

    return failed or not compiled()


if __name__ == "__main__":
    sys.exit(main())
