"""The job: model, data and options of a training. Each option is declared once, here.

Users write a TOML recipe, ``--set a.b=c`` and a few short flags; programs write the resolved job as JSON
with a version. The job's hash leaves out what depends on the card (``plan``).
"""

import argparse
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from trainer.contract.command.arguments import add_flag, allowed
from trainer.contract.command.errors import BadJob, NotFound
from trainer.contract.command.settings import explain, read_toml, written
from trainer.contract.options import CheckpointEvery, Lora, Options, PlanOverrides, flag

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
# Options that do not change the training, and files, which have their own hashes.
NOT_HASHED = frozenset({
    *("output", "data", "eval_data", "evaluate", "validation", "keep", "samples"),
    *("plan", "checkpoint", "allow_precision_change"),
})  # fmt: skip


class Job(Options):
    """A resolved job. Relative paths count from the working directory."""

    v: Literal[1] = 1
    model: str = Field(
        "Qwen/Qwen2.5-3B-Instruct",
        min_length=1,
        description="hub id, local folder, or `bundled:tiny`",
        json_schema_extra=flag("--model"),
    )
    revision: str | None = Field(None, description="hub revision: branch, tag or commit")
    data: str = Field(
        "training_data/train_openai.jsonl",
        min_length=1,
        description="rows to train on, JSONL",
        json_schema_extra=flag("--data"),
    )
    eval_data: str | None = Field(
        None, min_length=1, description="rows whose loss is measured ten times during a run"
    )
    eval_share: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="without eval_data, hold out this share of the rows for it: 8 to 128 rows; "
        "of fewer than 24 rows, none; 0: none",
    )
    early_stop: int | None = Field(
        3, ge=1, description="stop after this many evaluations without a lower loss; null: never"
    )
    samples: int = Field(
        5,
        ge=0,
        description="held-out rows that base and adapter answer, for you to read; the first of them at each "
        "evaluation of the loss too",
    )
    evaluate: str | None = Field(
        None,
        min_length=1,
        description="held-out episodes that base and adapter answer after training",
        json_schema_extra=flag("--evaluate"),
    )
    keep: Literal["loss", "best"] = Field(
        "loss",
        description="which step becomes the adapter: loss: the one with the lowest held-out loss; best: of up to five "
        "checkpoints, the one that answers most questions of `validation`",
        json_schema_extra=flag("--keep"),
    )
    validation: str | None = Field(
        None,
        min_length=1,
        description="episodes for `keep = best`; `evaluate` must not contain any of their questions",
        json_schema_extra=flag("--validate"),
    )
    output: str = Field(
        "./checkpoints",
        min_length=1,
        description="run folder to write; launch writes runs/ID if not given",
        json_schema_extra=flag("--output"),
    )
    epochs: float = Field(
        3.0, gt=0, description="passes over the rows", json_schema_extra=flag("--epochs")
    )
    max_steps: int | None = Field(None, ge=1, description="optimizer steps; replaces epochs")
    batch_size: int = Field(
        16,
        ge=1,
        description="rows per optimizer step, on all cards together",
        json_schema_extra=flag("--batch-size"),
    )
    lr: float = Field(
        2e-4, gt=0, description="highest learning rate", json_schema_extra=flag("--lr")
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="learning rate after warmup"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the steps with a rising rate")
    weight_decay: float = Field(0.0, ge=0, description="AdamW weight decay")
    max_grad_norm: float = Field(1.0, gt=0, description="gradient norm is clipped to this")
    seed: int = Field(0, ge=0, lt=2**32, description="for adapter weights, data order and dropout")
    max_length: int = Field(4096, ge=8, description="most tokens of a row")
    overlong: Literal["drop", "split", "error"] = Field(
        "drop",
        description="a longer row is dropped, split before a user's turn, or an error; it is never cut",
    )
    turns: Literal["auto", "keep", "split"] = Field(
        "auto",
        description="auto: if the chat template rewrites earlier turns, each turn is trained in a row that ends "
        "with it; keep: such rows are an error; split: every turn is a separate row",
    )
    precision: Literal["auto", "bf16", "fp32", "nf4"] = Field(
        "auto",
        description="number format of the base; auto: bf16 on a GPU (nf4 if too large for it), fp32 on a CPU",
    )
    allow_precision_change: bool = Field(
        False,
        description="resume from a checkpoint whose base had another precision",
        json_schema_extra=flag("--allow-precision-change"),
    )
    lora: Lora = Field(default_factory=Lora)
    checkpoint: CheckpointEvery = Field(default_factory=CheckpointEvery)
    plan: PlanOverrides = Field(default_factory=PlanOverrides)

    @field_validator("plan")
    @classmethod
    def _can_be_sharded(cls, plan: PlanOverrides, info: ValidationInfo) -> PlanOverrides:
        if plan.shard and info.data.get("precision") == "nf4":
            raise ValueError(
                "plan.shard divides a base in bf16 or fp32, not in nf4: set one of the two"
            )
        if plan.shard and "lora" in info.data and info.data["lora"].variant == "dora":
            raise ValueError("lora.variant = dora needs whole weights, and plan.shard divides them")
        return plan

    def hash(self) -> str:
        """Return the SHA-256 of the options that decide the result; files have their own hashes."""
        decisive = self.model_dump(mode="json", exclude=set(NOT_HASHED))
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the resolved job as JSON text."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, path: Path) -> Self:
        """Read a resolved job. Raises ``NotFound`` or ``BadJob``."""
        try:
            values = json.loads(path.read_text("utf-8-sig"))
        except FileNotFoundError:
            raise NotFound(f"{path} does not exist", "check the path") from None
        except (OSError, ValueError, RecursionError) as error:
            raise BadJob(f"{path}: cannot be read as JSON: {error}", "write it again") from None
        if not isinstance(values, dict):
            raise BadJob(f"{path}: not a JSON object", "write the file again")
        return cls.resolve(values, source=str(path))

    @classmethod
    def resolve(cls, values: Mapping[str, Any], *, source: str) -> Self:
        """Check ``values``. Raises ``BadJob``, which names their ``source``."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            names = [name for name, _ in options()]
            faults = [explain(detail, names, "option") for detail in error.errors()]
            what = faults[0] if len(faults) == 1 else f"{len(faults)} options are invalid"
            hint = "docs/reference.md lists the options"
            more = faults if len(faults) > 1 else []
            raise BadJob(f"{source}: {what}", hint, faults=more) from None


def options() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every option as its dotted name and field."""
    yield from _walk(Job, "")


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
        elif name != "v":
            yield f"{prefix}{name}", field


def _flag_of(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["flag"]) if isinstance(extra, dict) else ""


def find_recipe(name: str | Path) -> Path:
    """Return the path of a recipe: ``name`` is a path, or the name of a shipped recipe."""
    path = Path(name)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return path
    shipped = RECIPES / f"{name}.toml"
    if not shipped.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise NotFound(f"no recipe {str(name)!r}", f"use a .toml file, or one of: {known}")
    return shipped


def from_sources(
    recipe: str | Path | None, sets: Sequence[str] = (), flags: Mapping[str, Any] | None = None
) -> Job:
    """Resolve defaults < recipe < ``a.b=c`` settings < flags (dotted name → value).

    Raises ``BadJob`` naming the source and the option, ``NotFound`` for a missing recipe.
    """
    values: dict[str, Any] = {}
    if recipe is not None:
        path = find_recipe(recipe)
        values = read_toml(path)
        Job.resolve(values, source=str(path))
    return apply(values, sets, flags or {}, source="job")


def apply(
    values: dict[str, Any], sets: Sequence[str], flags: Mapping[str, Any], *, source: str
) -> Job:
    """Put ``a.b=c`` settings and flags (dotted name → value) into ``values``, and resolve them.

    Raises ``BadJob``, which names the setting, else ``source``.
    """
    for setting in sets:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise BadJob(
                f"--set {setting}: not of the form name=value", "write it as in --set lora.r=16"
            )
        _put(values, key.strip(), _parse_value(text.strip()), source=f"--set {setting}")
        Job.resolve(values, source=f"--set {setting}")
    for key, value in flags.items():
        _put(values, key, value, source=key)
        Job.resolve(values, source=dict(flag_names()).get(key, key))
    return Job.resolve(values, source=source)


def _put(values: dict[str, Any], key: str, value: object, *, source: str) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise BadJob(f"{source}: {part!r} has no options below it", "set the option itself")
    values[last] = value


def _parse_value(text: str) -> object:
    if text == "null":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def flag_names() -> list[tuple[str, str]]:
    """Return (dotted option, flag) for every option that has a short flag."""
    return [(name, _flag_of(field)) for name, field in options() if _flag_of(field)]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--recipe``, ``--set`` and the short flags; read them back with ``given_flags``."""
    parser.add_argument(
        "--recipe", metavar="NAME", help="name of a shipped recipe, or a .toml file with options"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="set any option; repeatable"
    )
    for name, field in options():
        if not (flag := _flag_of(field)):
            continue
        if field.annotation is bool:
            about, absent = field.description, argparse.SUPPRESS
            parser.add_argument(flag, dest=name, default=absent, action="store_true", help=about)
        else:
            add_flag(parser, flag, field, dest=name, preset=written(_default(field)))


def given_flags(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the short flags that were given: dotted option → text, or True. The job checks them."""
    return {name: getattr(namespace, name) for name, _ in flag_names() if hasattr(namespace, name)}


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True, validated_data={})


def options_table() -> str:
    """Return the options as a markdown table: name, flag, default, meaning."""
    lines = ["| option | flag | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in options():
        flag = f"`{_flag_of(field)}`" if _flag_of(field) else ""
        default = _default(field)
        preset = "" if default is None else f"`{default}`"
        words = () if field.annotation is bool else allowed(field.annotation)
        of = f" ({', '.join(f'`{word}`' for word in words)})" if words else ""
        meaning = f"{field.description}{of}".replace("|", "\\|")
        lines.append(f"| `{name}` | {flag} | {preset} | {meaning} |")
    return "\n".join(lines) + "\n"
