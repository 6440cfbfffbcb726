"""Weights on disk or hub: which a path names, whether an adapter fits its base, and loading them.

Needs the `train` extra (torch, transformers, peft); the checks before loading do not.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trainer.contract
from datagen.missing_package import LOCAL_MODEL, needing
from datagen.models.device import Device, find_device
from trainer.contract.command import libraries
from trainer.contract.command.errors import ModelUnavailable, NotFound
from trainer.contract.manifest import check_adapter, hash_file, safetensors_header

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
COMPLETE_MARK = "checkpoint.json"  # the trainer writes it last
BUNDLED = "bundled:"
PREFIX = "base_model.model."
SIDES = {".lora_A.weight": ("in_features", 1), ".lora_B.weight": ("out_features", 0)}
MAX_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ModelLocation:
    """Where weights lie: a base (folder or hub id, with the hub's revision), and perhaps an adapter."""

    base: str
    revision: str | None = None
    adapter: Path | None = None

    @property
    def tokenizer(self) -> str:
        """The adapter's folder carries the frozen chat template; base and adapter both use it."""
        return str(self.adapter or self.base)


def adapter_folder(path: Path) -> Path:
    """The adapter in `path`: the folder itself, or `adapter/` in a run folder. Raises NotFound.

    Of a run that has none yet, and of its `checkpoints/`, the newest checkpoint that is whole.
    """
    for folder in (path, path / "adapter"):
        if (folder / CONFIG).is_file():
            return folder
    marks = [
        *path.glob(f"checkpoint-*/{COMPLETE_MARK}"),
        *path.glob(f"checkpoints/checkpoint-*/{COMPLETE_MARK}"),
    ]
    newest = max((mark.parent for mark in marks), key=_step, default=None)
    if newest is not None and (newest / CONFIG).is_file():
        return newest
    if (path / "job.json").is_file():
        raise NotFound(
            f"{path}: this run has no adapter and no checkpoint yet",
            f"see how far it is: launch logs {shlex.quote(str(path))}",
        )
    raise NotFound(
        f"{path}: no adapter found",
        f"give a run folder, a folder with {CONFIG}, or a model folder with config.json",
    )


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def find_model(model: str, base: str | None = None) -> ModelLocation:
    """What `model` names: run or adapter folder, model folder, `bundled:` name or hub id.

    `base` is the place of an adapter's base model, if it has moved. Raises NotFound, and
    ModelUnavailable for an adapter that is not whole or was made for another base.
    """
    path = Path(model)
    if model.startswith(BUNDLED):
        return ModelLocation(base=str(_bundled(model)))
    if (path / "config.json").is_file():
        return ModelLocation(base=model)
    if not path.exists() and not path.is_absolute() and not model.startswith((".", "~")):
        return ModelLocation(base=model)
    return _adapter_location(adapter_folder(path), base)


def _adapter_location(folder: Path, base: str | None) -> ModelLocation:
    if faults := check_adapter(folder):
        raise ModelUnavailable(
            f"{folder}: the adapter is incomplete",
            "copy it again; if it is still incomplete, train again",
            faults=faults,
        )
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    made_for = str(config["base_model_name_or_path"])
    if base is None:
        return ModelLocation(
            base=_base_path(made_for, folder), revision=config.get("revision"), adapter=folder
        )
    if not Path(base).exists() and not Path(made_for).is_absolute() and base != made_for:
        raise ModelUnavailable(
            f"{folder}: the adapter was trained on {made_for}, not on {base}",
            f"leave out --base, or give {made_for}",
        )
    location = str(_bundled(base)) if base.startswith(BUNDLED) else base
    return ModelLocation(base=location, adapter=folder)


def _base_path(made_for: str, folder: Path) -> str:
    """The base, of a run elsewhere with the bundled model the bundled one here."""
    job = folder.parent / "job.json"
    if Path(made_for).is_absolute() and not Path(made_for).exists() and job.is_file():
        named = str(json.loads(job.read_text("utf-8")).get("model"))
        if named.startswith(BUNDLED):
            return str(_bundled(named))
    return made_for


def _bundled(name: str) -> Path:
    (package,) = trainer.contract.__path__
    folder = Path(package).parent / name.removeprefix(BUNDLED) / "model"
    if not (folder / "config.json").is_file():
        raise NotFound(f"unknown bundled model {name}", "use bundled:tiny")
    return folder


def model_name(location: ModelLocation) -> str:
    """The adapter by its content, so that another one in the same folder is another model."""
    if location.adapter is None:
        return location.base
    return f"{location.base} + adapter {hash_file(location.adapter / WEIGHTS).sha256[:12]}"


@dataclass(frozen=True)
class Loaded:
    """`weights` is the base, with the adapter around it where there is one."""

    weights: Any
    tokenizer: Any
    device: Device


def load(location: ModelLocation) -> Loaded:
    """Raises NotInstalled, and ModelUnavailable where base, adapter and template do not go together."""
    libraries.prepare_environment()
    with needing(LOCAL_MODEL):
        libraries.import_bitsandbytes()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, logging
    logging.disable_progress_bar()
    device = find_device()
    try:
        weights = AutoModelForCausalLM.from_pretrained(
            location.base, revision=location.revision, dtype=getattr(torch, device.dtype)
        )
        tokenizer = AutoTokenizer.from_pretrained(location.tokenizer)
    except Exception as error:
        here = "" if Path(location.base).exists() else "not a folder here, and the hub failed: "
        raise ModelUnavailable(
            f"model {location.base}: {here}{' '.join(str(error).split())[:300]}",
            "give a complete model folder, or the id of a model on a reachable hub",
        ) from error
    if tokenizer.chat_template is None:
        raise ModelUnavailable(
            f"{location.tokenizer} has no chat template", "evaluate an instruct model"
        )
    if location.adapter is not None:
        weights = _with_adapter(weights, location, location.adapter)
    return Loaded(weights.to(device.place).eval(), tokenizer, device)


def _with_adapter(base: Any, location: ModelLocation, folder: Path) -> Any:
    from peft import PeftModel

    if faults := shape_mismatches(base, safetensors_header(folder / WEIGHTS)):
        raise ModelUnavailable(
            f"{folder}: the adapter does not fit {location.base}",
            "it was trained on another base model: give that model with --base",
            faults=faults[:MAX_SHOWN],
        )
    return PeftModel.from_pretrained(base, folder)


def shape_mismatches(base: Any, tensors: dict[str, Any]) -> list[str]:
    """Which of an adapter's tensors have no place, or one of another width, in the base."""
    faults = []
    for name, tensor in tensors.items():
        for side, (width, axis) in SIDES.items():
            if not name.endswith(side):
                continue
            module = name.removeprefix(PREFIX).removesuffix(side)
            try:
                found = getattr(base.get_submodule(module), width)
            except AttributeError:
                faults.append(f"the base has no {module}")
                continue
            if found != tensor["shape"][axis]:
                faults.append(f"{module}: {width} {tensor['shape'][axis]}, in the base {found}")
    return faults
