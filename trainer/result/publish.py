"""Writes a result: adapter, model card, loss curve, and the manifest with the reload proof."""

import math
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer.adapter import save_weights
from trainer.checkpoints import Record
from trainer.contract import manifest
from trainer.contract.job import Job
from trainer.contract.manifest import ReloadProof
from trainer.pretrained import Source

VERSIONS = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers", "bitsandbytes")

# A loss that falls by more than this factor needs a logarithmic axis.
WIDE = 20


def save_adapter(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write adapter weights, config and tokenizer with its frozen chat template."""
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)


def draw_loss(history: list[dict[str, float]], path: Path) -> None:
    """Draw training and evaluation loss over steps as a PNG; needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    losses = [entry[key] for entry in history for key in ("loss", "eval_loss") if key in entry]
    if losses and 0 < WIDE * min(losses) < max(losses):
        axes.set_yscale("log")
    for key, label in (("loss", "training"), ("eval_loss", "evaluation")):
        points = [(entry["step"], entry[key]) for entry in history if key in entry]
        if points:
            axes.plot(
                *zip(*points, strict=True), label=label, marker="." if len(points) < 40 else ""
            )
    axes.set(xlabel="step", ylabel="loss per trained token")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def losses_of(history: list[dict[str, float]]) -> dict[str, float | int | None]:
    """Return first loss, final loss (mean of the last tenth of the steps), and evaluation loss."""
    losses = [entry["loss"] for entry in history if "loss" in entry]
    evals = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    last = losses[-math.ceil(len(losses) / 10) :]
    return {
        "first_loss": losses[0],
        "final_loss": sum(last) / len(last),
        "eval_loss": evals[-1] if evals else None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A result before it is published.

    ``adapter``: the folder of the saved adapter. ``beside``: more files of the run folder for the manifest.
    Without ``proof`` the result is not complete.
    """

    job: Job
    output: Path
    adapter: Path
    history: list[dict[str, float]]
    metrics: dict[str, float | int | None]
    source: Source
    record: Record
    proof: ReloadProof | None
    beside: Sequence[str] = ()


def publish(made: Result) -> None:
    """Write card and loss curve, move the adapter to its folder, and write the manifest last."""
    output, record = made.output, made.record
    text = card(made.job, made.source, record, made.metrics)
    # It may be a link to a checkpoint's file, which must not change.
    (made.adapter / "README.md").unlink(missing_ok=True)
    (made.adapter / "README.md").write_text(text, encoding="utf-8")
    draw_loss(made.history, output / "loss.png")
    # The manifest of a result from a checkpoint, or of an attempt that ended below this line.
    (output / manifest.NAME).unlink(missing_ok=True)
    place = output / manifest.ADAPTER
    if place.exists():
        shutil.rmtree(place)
    made.adapter.rename(place)
    files = ["job.json", "loss.png", *made.beside, manifest.ADAPTER]
    manifest.Manifest(
        complete=made.proof is not None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=manifest.hash_files(output, files),
        job_hash=record.job_hash,
        data_sha256=record.data_sha256,
        base_model=made.source.name,
        revision=made.source.revision,
        template_sha256=record.template_sha256,
        versions={"python": platform.python_version(), **{n: version(n) for n in VERSIONS}},
        device=record.device,
        precision=record.precision,
        seed=made.job.seed,
        metrics=made.metrics,
        reload_proof=made.proof,
    ).write(output / manifest.NAME)


def card(
    job: Job, source: Source, record: Record, metrics: Mapping[str, float | int | None]
) -> str:
    """Return the adapter's model card: base, data, metrics, and how to load it."""
    shown = "\n".join(
        f"| {name} | {value:.6g} |" for name, value in metrics.items() if value is not None
    )
    revision = f", revision `{source.revision}`" if source.revision else ""
    pinned = f', revision="{source.revision}"' if source.revision else ""
    return f"""---
base_model: {source.place}
library_name: peft
tags: [lora, sft]
---
# LoRA adapter for {source.name}

Trained on chat rows: only on the assistant's turns, each with its stop token. Render prompts with the chat
template in this folder: the base model's, with a fixed date.

- Base model: `{source.name}`{revision}, in {record.precision}
- Data: SHA-256 `{record.data_sha256}`
- Job: SHA-256 `{record.job_hash}`

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{source.place}"{pinned})
model = PeftModel.from_pretrained(base, "ADAPTER_FOLDER")
tokenizer = AutoTokenizer.from_pretrained("ADAPTER_FOLDER")
```

| metric | value |
| --- | --- |
{shown}

```json
{job.to_json().strip()}
```
"""
