"""The LoRA adapter: PEFT's config for a job, and saving the weights."""

from pathlib import Path
from typing import Any

from trainer.contract.options import Lora


def lora_config(lora: Lora, revision: str | None) -> Any:
    """Return PEFT's config: a LoRA on every linear layer, and on stacked experts if PEFT adapts them."""
    from peft import LoraConfig

    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_rslora=lora.variant == "rslora",
        use_dora=lora.variant == "dora",
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        revision=revision,
    )


def save_weights(model: Any, folder: Path) -> None:
    """Write the adapter's weights and config."""
    # Without ``state_dict`` PEFT would also gather a divided base's weights, which needs every process.
    adapter = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    # "auto" would query the hub whether the vocabulary has grown; it has not.
    model.save_pretrained(folder, state_dict=adapter, save_embedding_layers=False)
