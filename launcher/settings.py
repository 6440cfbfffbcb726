"""The launcher's settings; ``trainer.contract.command.settings`` reads them from files, environment and flags."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from launcher.world import World
from trainer.contract.command.settings import Declared


class Settings(BaseModel):
    """Money in USD, sizes in GB. The flag is the name with dashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gpu: str = Field(
        "A10G", min_length=1, description="card to rent, for example A10G, 4090 or A100:4"
    )
    max_cost: float = Field(2.0, gt=0, description="maximum cost of a run, in dollars")
    max_hours: float = Field(6.0, gt=0, description="maximum duration of a run, in hours")
    grace: float = Field(
        15.0,
        ge=1,
        description="minutes that a finished pod waits for the download of its result before it stops",
    )
    on_deadline: Literal["stop", "delete"] = Field(
        "stop",
        description="what a pod does at its deadline: stop (its disk is kept and billed) or delete itself",
    )
    on_interrupt: Literal["detach", "stop"] = Field(
        "detach",
        description="what Ctrl-C does while a pod trains: detach (the pod keeps training) or stop the run",
    )
    unguarded: bool = Field(
        False, description="yes: use a pod even if it cannot stop itself at its deadline"
    )
    image: str | None = Field(None, description="existing image to use instead of building one")
    image_repo: str | None = Field(
        None, description="repository to push the image to, for example ghcr.io/me/sft-launch"
    )
    build_args: str = Field(
        "", description="build arguments of the image, for example 'BASE_IMAGE=debian:12 CUDA=none'"
    )
    registry: str | None = Field(
        None, description="name of the RunPod registry credential for a private image"
    )
    cuda: str = Field(
        "13.0",
        pattern=r"^\d+\.\d+$",
        description="CUDA version that the image's torch is built for",
    )
    volume: str | None = Field(
        None, description="RunPod network volume for base weights and checkpoints"
    )
    disk: int = Field(
        20, ge=10, description="container disk in GB; its content is lost when the pod restarts"
    )
    mount: int = Field(
        40,
        ge=10,
        description="disk for weights and results in GB; its content is kept when the pod stops",
    )
    track: Literal["none", "trackio", "wandb"] = Field(
        "none", description="also send a run's metrics to trackio or W&B, from this machine"
    )
    track_project: str = Field(
        "sft-launch", min_length=1, description="project name at trackio or W&B"
    )


DECLARED = Declared(kind=Settings, table=None, prefix="SFT_", listing="launch train --help")
add_flags = DECLARED.add_flags
given = DECLARED.given


class FoundSettings(BaseModel):
    """The settings, and where each that is not the default came from."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    sources: dict[str, str]

    @classmethod
    def read(cls, flags: Mapping[str, Any], *, world: World) -> Self:
        """Read every source. Raises ``BadJob`` naming the source and the setting."""
        settings, sources = DECLARED.read(
            flags, variable=world.variable, folder=world.config_folder()
        )
        return cls(settings=settings, sources=sources)


def load(flags: Mapping[str, Any], *, world: World) -> Settings:
    """The settings alone; see ``FoundSettings.read``."""
    return FoundSettings.read(flags, world=world).settings
