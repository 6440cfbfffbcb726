"""Settings for all runs of a user or a project. Each is declared once, as a model's field.

They are read from ``launch.toml`` in the user's config folder, then in the project, then from the
environment, then from flags: the later wins. The launcher's settings are at the top of the file, those of
other commands in a table each.
"""

import argparse
import difflib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from trainer.contract.command.arguments import add_flag
from trainer.contract.command.errors import BadJob, NotFound

FILE = "launch.toml"
TABLES = ("datagen",)

S = TypeVar("S", bound=BaseModel)


def config_folder(variable: Callable[[str], str], home: Path) -> Path:
    """Where this user's settings lie; it need not exist. ``variable`` looks up the environment."""
    stated = variable("XDG_CONFIG_HOME")
    base = Path(stated) if Path(stated).is_absolute() else home / ".config"
    return base / "sft-launch"


def written(value: object) -> str:
    """Return a default as entered; empty without a default."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class Declared(Generic[S]):
    """The settings of one command: the fields of ``kind``, which forbids others.

    ``table`` is theirs in the file, None for its top; ``prefix`` precedes the name in the environment;
    ``listing`` is what to run for a list of them.
    """

    kind: type[S]
    table: str | None
    prefix: str
    listing: str

    def flags(self) -> dict[str, str]:
        """The flag of each setting."""
        return {name: f"--{name.replace('_', '-')}" for name in self.kind.model_fields}

    def add_flags(self, parser: argparse.ArgumentParser, *, only: Collection[str] = ()) -> None:
        """A flag for each setting, or for those named; read them back with ``given``."""
        group = parser.add_argument_group("settings")
        for name, flag in self.flags().items():
            if only and name not in only:
                continue
            field = self.kind.model_fields[name]
            add_flag(group, flag, field, dest=f"setting_{name}", preset=written(field.default))

    def given(self, options: argparse.Namespace) -> dict[str, Any]:
        """The settings that were given as flags."""
        named = {name: f"setting_{name}" for name in self.kind.model_fields}
        return {name: getattr(options, key) for name, key in named.items() if hasattr(options, key)}

    def read(
        self, flags: Mapping[str, Any], *, variable: Callable[[str], str], folder: Path
    ) -> tuple[S, dict[str, str]]:
        """(settings, where each that is not the default came from).

        ``variable`` looks up the environment, empty where it is not set; ``folder`` is the user's
        config folder. Raises ``BadJob`` naming the source and the setting.
        """
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, found in self._layers(flags, variable=variable, folder=folder):
            self._check(found, source)
            values |= found
            sources |= dict.fromkeys(found, source)
        return self._check(values, "settings"), sources

    def _layers(
        self, flags: Mapping[str, Any], *, variable: Callable[[str], str], folder: Path
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for path in (folder / FILE, Path(FILE)):
            if path.is_file():
                yield str(path), self._own(read_toml(path), path)
        for name in self.kind.model_fields:
            key = f"{self.prefix}{name.upper()}"
            if value := variable(key):
                yield key, {name: value}
        names = self.flags()
        for name, value in flags.items():
            yield names.get(name, name), {name: value}

    def _own(self, content: dict[str, Any], path: Path) -> dict[str, Any]:
        """The part of a file that is this command's; the tables of others are theirs to judge."""
        if self.table is None:
            return {k: v for k, v in content.items() if k not in TABLES or not isinstance(v, dict)}
        own = content.get(self.table, {})
        if not isinstance(own, dict):
            raise BadJob(
                f"{path}: {self.table} = {own!r}: not a table",
                f"write its settings under [{self.table}]",
            )
        return own

    def _check(self, values: Mapping[str, Any], source: str) -> S:
        try:
            return self.kind.model_validate(values)
        except ValidationError as error:
            what = explain(error.errors()[0], self.kind.model_fields, "setting")
            raise BadJob(f"{source}: {what}", f"{self.listing} lists the settings") from None


def explain(detail: Mapping[str, Any], names: Collection[str], kind: str) -> str:
    """Return what pydantic found wrong as text; for an unknown name with the nearest of ``names``."""
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{key} = {detail['input']!r}: {detail['msg'].removeprefix('Value error, ')}"
    near = difflib.get_close_matches(key, names, n=1)
    near = near or difflib.get_close_matches(key.rsplit(".", 1)[-1], names, n=1)
    return f"no {kind} {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises ``NotFound`` or ``BadJob``."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "check the path") from None
    except UnicodeDecodeError:
        raise BadJob(f"{path}: is not UTF-8", "save that file as UTF-8") from None
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadJob(f"{path}: cannot be read as TOML: {error}", "correct that file") from None
