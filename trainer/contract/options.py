"""The tables within a job: the adapter, its checkpoints, and what is otherwise planned from the device."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """What every table of options is: fixed, closed to others, without numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def flag(name: str) -> dict[str, Any]:
    """Give an option a short flag of its own."""
    return {"flag": name}


class Lora(Options):
    """The adapter: on all linear layers."""

    r: int = Field(32, ge=1, description="rank of the adapter", json_schema_extra=flag("--lora-r"))
    alpha: int = Field(32, ge=1, description="scale: the update counts alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    variant: Literal["plain", "rslora", "dora"] = Field(
        "plain",
        description="rslora: the update counts alpha / √r, for ranks above 64; dora: size and direction "
        "apart, for ranks below 16, slower, and vLLM cannot serve it",
    )
    plus: float = Field(
        1.0,
        ge=1,
        description="LoRA+: learning rate of B over that of A; 16 may learn faster, in short runs",
    )


class CheckpointEvery(Options):
    """When to save what can be resumed; SIGTERM and Ctrl-C save too."""

    minutes: float = Field(5.0, gt=0, description="save a checkpoint after this many minutes")
    steps: int | None = Field(None, ge=1, description="also save every so many optimizer steps")
    keep: int = Field(2, ge=1, description="newest checkpoints kept on disk")


class PlanOverrides(Options):
    """What is otherwise planned from the device; changes speed and memory, not the result."""

    tokens: int | None = Field(
        None, ge=1, description="most tokens of a forward pass; a longer row has its own"
    )
    recompute: int | None = Field(
        None, ge=0, description="run every n-th layer twice to save memory; 0: none, 1: all"
    )
    processes: int | None = Field(
        None, ge=1, description="processes that share the rows of a step; otherwise one per card"
    )
    shard: bool = Field(
        False,
        description="each card holds a part of a bf16 or fp32 base (FSDP2): for one that no card holds whole",
    )
