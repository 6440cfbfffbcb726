"""Quantises a GGUF file with llama.cpp: its program, or the package llama-cpp-python in a separate process."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from trainer.contract.command.errors import NotInstalled, ResultRejected

PROGRAM, PACKAGE = "llama-quantize", "llama_cpp"
TAIL = 300


def command(kind: str) -> Sequence[str]:
    """Return the command to which the two files and ``kind`` are added. Raises ``NotInstalled``."""
    if program := shutil.which(PROGRAM):
        return [program]
    if importlib.util.find_spec(PACKAGE):
        # It crashes in one process with torch.
        return [sys.executable, "-P", "-m", "trainer.gguf.quantise"]
    raise NotInstalled(
        f"{kind} needs {PROGRAM} (llama.cpp) or llama-cpp-python",
        "install one, such as: pip install llama-cpp-python (compiles for minutes), or use --gguf q8_0",
    )


def quantise(whole: Path, out: Path, kind: str) -> None:
    """Write ``whole``, quantised, to ``out``. Raises ``NotInstalled`` and ``ResultRejected``."""
    arguments = [*command(kind), str(whole), str(out), kind.upper()]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode or not out.exists():
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ResultRejected(
            f"{PROGRAM} ended with exit code {done.returncode}: {text[-TAIL:]}", "use --gguf q8_0"
        )


def main(whole: str, out: str, kind: str) -> int:
    """Call llama.cpp's library."""
    llama_cpp = import_module(PACKAGE)
    values = llama_cpp.llama_model_quantize_default_params()
    values.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    return int(llama_cpp.llama_model_quantize(whole.encode(), out.encode(), values))


if __name__ == "__main__":
    # Its library may crash when it is unloaded.
    os._exit(main(*sys.argv[1:]))
