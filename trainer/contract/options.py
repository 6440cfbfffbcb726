"""The tables within a job: adapter, checkpoints, and the plan for the device."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Base of every table of options: frozen, rejects unknown options, infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def flag(name: str) -> dict[str, Any]:
    """Declare a short flag for an option."""
    return {"flag": name}


class Lora(Options):
    """The adapter: on all linear layers."""

    r: int = Field(32, ge=1, description="rank of the adapter", json_schema_extra=flag("--lora-r"))
    alpha: int = Field(32, ge=1, description="scale: the update is multiplied by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    variant: Literal["plain", "rslora", "dora"] = Field(
        "plain",
        description="rslora: multiply by alpha / √r, for ranks above 64; dora: train magnitude and direction "
        "separately, for ranks below 16: slower, and vLLM cannot serve it",
    )
    plus: float = Field(
        1.0,
        ge=1,
        description="LoRA+: learning rate of B divided by that of A; 16 may learn faster in short runs",
    )


class CheckpointEvery(Options):
    """When to save a checkpoint; SIGTERM and Ctrl-C also save one."""

    minutes: float = Field(5.0, gt=0, description="save a checkpoint after this many minutes")
    steps: int | None = Field(
        None, ge=1, description="also save one every this many optimizer steps"
    )
    keep: int = Field(2, ge=1, description="newest checkpoints kept on disk")


class PlanOverrides(Options):
    """Options that the trainer otherwise plans for the device; they change speed and memory, not the result."""

    tokens: int | None = Field(
        None, ge=1, description="most tokens of a micro-batch; a longer row has its own"
    )
    recompute: int | None = Field(
        None, ge=0, description="compute every n-th layer twice to save memory; 0: none, 1: all"
    )
    processes: int | None = Field(
        None, ge=1, description="processes that share the rows of a step; default: one per card"
    )
    shard: bool = Field(
        False,
        description="divide a bf16 or fp32 base between the cards (FSDP2), if one card is too small for it",
    )
