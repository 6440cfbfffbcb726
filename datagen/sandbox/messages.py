"""What crosses the sandbox's outer border: limits in, cell results out. Standard library only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Level = Literal["full", "reduced", "none"]
T = TypeVar("T")
MAX_HOOKS = 200
MAX_ANSWER_CHARS = 1_000_000
LEVELS: tuple[Level, ...] = ("full", "reduced", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellLimits:
    """Bounds of one episode.

    ``cell_seconds`` and ``episode_seconds`` are wall time spent in cells, enforced by killing from
    outside; waiting for a model between cells is not counted. ``memory_bytes`` is address space
    beyond what the loaded tables take. ``output_chars`` caps stdout and stderr each, keeping the
    head and the tail.
    """

    cell_seconds: float = 30.0
    episode_seconds: float = 120.0
    memory_bytes: int = 2 * 1024**3
    output_chars: int = 8192


@dataclass(frozen=True, slots=True)
class Hook:
    """An intermediate value that a cell reported, and the names of the hooks it was made from."""

    name: str
    value: Any
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """The outcome of one cell.

    ``stderr`` ends with the error, one line without a path, when ``ok`` is false. ``answer`` is a JSON
    value, NaN and other missing values as None; ``submitted`` distinguishes an answer of None from no answer.
    """

    ok: bool
    stdout: str = ""
    stderr: str = ""
    hooks: tuple[Hook, ...] = ()
    submitted: bool = False
    answer: Any = None
    seconds: float = 0.0
    timed_out: bool = False


class MalformedError(Exception):
    """A child sent something other than a cell's result."""


# What a capped text may have more than its cap: the line on what was left out, and the error.
_EXTRA_CHARS = 1000


def from_message(message: object, output_chars: int, *, seconds: float) -> CellResult:
    """Build a result from what the child sent.

    The child ran untrusted code, which may have written the message itself: nothing about it is
    taken on trust, and what it caps is capped again. Raises MalformedError.
    """
    if not isinstance(message, Mapping):
        raise MalformedError("a cell's result is not an object")
    hooks = message.get("hooks")
    if not isinstance(hooks, list):
        raise MalformedError("a cell's hooks are not a list")
    most = output_chars + _EXTRA_CHARS
    if len(json.dumps(message.get("answer"))) > MAX_ANSWER_CHARS:
        raise MalformedError("a cell's answer is too long")
    return CellResult(
        ok=_field(message, "ok", bool),
        stdout=_text(_field(message, "stdout", str)[:most]),
        stderr=_text(_field(message, "stderr", str)[:most]),
        hooks=tuple(_hook(hook) for hook in hooks[:MAX_HOOKS]),
        submitted=_field(message, "submitted", bool),
        answer=_clean(message.get("answer")),
        seconds=seconds,
    )


def _hook(message: object) -> Hook:
    if not isinstance(message, Mapping):
        raise MalformedError("a hook is not an object")
    names = _field(message, "depends_on", list)
    return Hook(
        name=_text(_field(message, "name", str)),
        value=_clean(message.get("value")),
        depends_on=tuple(_text(str(name)) for name in names),
    )


def _field(message: Mapping[str, Any], key: str, kind: type[T]) -> T:
    value = message.get(key)
    if not isinstance(value, kind):
        raise MalformedError(f"a cell's {key} is not {kind.__name__}")
    return value


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_text(key): _clean(item) for key, item in value.items()}
    return value


def _text(value: str) -> str:
    """Replace lone surrogates: JSON lets them through, and no file or terminal takes them."""
    return value.encode("utf-8", "replace").decode("utf-8")
