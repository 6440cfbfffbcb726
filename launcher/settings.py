"""Settings: what holds for every run of a user or a project, unlike the job. Each is declared once.

Read from ``launch.toml`` in the user's config folder, then in the project, then ``SFT_<NAME>`` in the
environment, then flags: the later wins.
"""

import argparse
import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.world import World
from trainer.contract.errors import BadJob

FILE = "launch.toml"
PREFIX = "SFT_"


class Settings(BaseModel):
    """Money in USD, sizes in GB. The flag is the name with dashes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gpu: str = Field("A10G", min_length=1, description="card to rent, as A10G, 4090 or A100:4")
    max_cost: float = Field(2.0, gt=0, description="most a run may cost, in dollars")
    max_hours: float = Field(6.0, gt=0, description="most a run may take, in hours")
    grace: float = Field(
        15.0, ge=1, description="minutes that a finished pod waits to be fetched before it stops"
    )
    on_deadline: Literal["stop", "delete"] = Field(
        "stop", description="what a pod does with itself at its deadline"
    )
    on_interrupt: Literal["detach", "stop"] = Field(
        "detach", description="what Ctrl-C does to a training pod: leave it at work, or end it"
    )
    unguarded: bool = Field(
        False, description="yes: go on with a pod that cannot stop itself at its deadline"
    )
    image: str | None = Field(None, description="an image that exists, in place of building one")
    image_repo: str | None = Field(
        None, description="where to push the image, as ghcr.io/me/sft-launch"
    )
    build_args: str = Field(
        "", description="build arguments of the image, as 'BASE_IMAGE=debian:12 CUDA=none'"
    )
    registry: str | None = Field(
        None, description="name of the RunPod registry credential for a private image"
    )
    cuda: str = Field(
        "13.0", pattern=r"^\d+\.\d+$", description="CUDA that the image's torch is built for"
    )
    volume: str | None = Field(
        None, description="RunPod network volume for base weights and checkpoints"
    )
    disk: int = Field(20, ge=10, description="container disk, lost at a restart")
    mount: int = Field(40, ge=10, description="disk for weights and results, kept over a stop")


def source_names() -> Iterator[tuple[str, str]]:
    """(setting, flag) for each setting."""
    yield from ((name, f"--{name.replace('_', '-')}") for name in Settings.model_fields)


def add_flags(parser: argparse.ArgumentParser, *, only: Collection[str] = ()) -> None:
    """A flag for each setting, or for those named; read them back with ``given``."""
    group = parser.add_argument_group("settings")
    for name, flag in source_names():
        if only and name not in only:
            continue
        field = Settings.model_fields[name]
        shown = "" if field.default is None else f" (default: {field.default})"
        group.add_argument(
            flag,
            dest=f"setting_{name}",
            default=argparse.SUPPRESS,
            metavar=name.rsplit("_", 1)[-1].upper(),
            help=f"{field.description}{shown}",
        )


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags."""
    named = {name: f"setting_{name}" for name in Settings.model_fields}
    return {name: getattr(options, key) for name, key in named.items() if hasattr(options, key)}


class Resolved(BaseModel):
    """The settings, and where each that is not the default came from."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    sources: dict[str, str]

    @classmethod
    def read(cls, flags: Mapping[str, Any], *, world: World) -> Self:
        """Read every source. Raises ``BadJob`` naming the source and the setting."""
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, found in _layers(flags, world=world):
            _check(found, source)
            values |= found
            sources |= dict.fromkeys(found, source)
        return cls(settings=_check(values, "settings"), sources=sources)


def load(flags: Mapping[str, Any], *, world: World) -> Settings:
    """The settings alone; see ``Resolved.read``."""
    return Resolved.read(flags, world=world).settings


def _layers(flags: Mapping[str, Any], *, world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in (world.config_folder() / FILE, Path(FILE)):
        if path.is_file():
            yield str(path), _toml(path)
    for name in Settings.model_fields:
        variable = f"{PREFIX}{name.upper()}"
        if value := world.variable(variable):
            yield variable, {name: value}
    names = dict(source_names())
    for name, value in flags.items():
        yield names.get(name, name), {name: value}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadJob(f"{path}: not TOML: {error}", "correct that file") from None


def _check(values: Mapping[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        what = f"{key} = {detail['input']!r}: {detail['msg']}"
        if detail["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, Settings.model_fields, n=1)
            what = f"no setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        raise BadJob(f"{source}: {what}", "launch train --help lists the settings") from None
