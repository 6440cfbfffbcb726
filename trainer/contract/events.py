"""The events of a run: one JSON object a line, appended while it trains, read by view, report and logs.

Times are unix seconds, sizes bytes, rates per second. One writer per file. A reader gets only whole lines,
continues at a byte offset, and reads events that it does not know as ``Unknown``.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from statistics import median
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.contract.command.crash_safe_files import append, cut_torn_line, open_locked
from trainer.contract.command.errors import BadData

VERSION = 1


class Event(BaseModel):
    """One line. The writer sets ``seq`` and ``time``."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    v: int = VERSION
    seq: int = -1
    time: float = 0.0
    type: str


class Phase(Event):
    """A new stage of the run: data, model, train, save, proof."""

    type: Literal["phase"] = "phase"
    name: str
    detail: str = ""


class Plan(Event):
    """How this device trains the job: what depends on the card and is not part of the job."""

    type: Literal["plan"] = "plan"
    device: str
    precision: str
    attention: str = ""
    pass_tokens: int
    passes: float
    processes: int = 1
    recompute_every: int = 0
    predicted_bytes: int | None = None
    rows: int
    dropped_rows: int = 0
    tokens: int
    trained_tokens: int
    steps: int
    epochs: float
    trainable_parameters: int


class Data(Event):
    """What is trained on. ``lengths``: (longest in the bin, rows), in tokens, over all rows.

    ``shown`` holds a few rows, each as (text, whether it is trained on), end to end.
    """

    type: Literal["data"] = "data"
    lengths: list[tuple[int, int]]
    shown: list[list[tuple[str, bool]]]


class TrialStep(Event):
    """The trial step before the first one; see ``trainer.loop.trial_step``.

    ``bound_tokens_per_second``: the most that the cards' bandwidth and peak allow. ``peak_bytes``: of the card's allocator;
    ``predicted_bytes``: the same as sizing predicted it.
    """

    type: Literal["probe"] = "probe"
    tokens: int
    seconds: float
    tokens_per_second: float
    bound_tokens_per_second: float | None = None
    peak_bytes: int | None = None
    predicted_bytes: int | None = None


class Kernels(Event):
    """Whether the training steps use fused kernels; see ``trainer.loop.fused``.

    ``plain_seconds``, ``fused_seconds``: of the same trial step. ``finding``: how the two agree, or why fused ones
    were not measured.
    """

    type: Literal["kernels"] = "kernels"
    used: bool
    plain_seconds: float
    fused_seconds: float | None = None
    finding: str


class Step(Event):
    """One optimizer step. ``tokens`` and ``trained_tokens`` are cumulative over the whole run.

    ``mfu``: speed as a share of the cards' peak; None if that is unknown.
    ``gpu_use``: percent of the last seconds in which the busiest card was active; None without a card.
    """

    type: Literal["step"] = "step"
    step: int
    steps: int
    epoch: float
    loss: float
    lr: float
    grad_norm: float | None = None
    tokens: int
    trained_tokens: int
    tokens_per_second: float
    trained_tokens_per_second: float
    seconds_left: float
    memory_bytes: int
    mfu: float | None = None
    gpu_use: int | None = None


class Eval(Event):
    """Loss per trained token on the evaluation rows; at step 0 that of the base."""

    type: Literal["eval"] = "eval"
    step: int
    loss: float


class HeldOutRow(BaseModel):
    """One held-out row; ``turns``: (tokens, the base's nats per token, the adapter's) of each trained turn."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    line: int
    turns: list[tuple[int, float, float]]

    @property
    def losses(self) -> tuple[float, float]:
        """Loss per token of base and adapter."""
        tokens = sum(n for n, _, _ in self.turns)
        base, adapter = (sum(turn[0] * turn[at] for turn in self.turns) / tokens for at in (1, 2))
        return base, adapter


class HeldOut(Event):
    """The kept adapter against its base, on the held-out rows: which one predicts their answers better.

    ``base_loss`` and ``loss``: per trained token of all ``rows``. ``better`` and ``worse``: rows with a lower and a
    higher loss of the adapter. ``p``: two-sided sign test of the two.
    """

    type: Literal["held_out"] = "held_out"
    step: int
    rows: list[HeldOutRow]
    base_loss: float
    loss: float
    better: int
    worse: int
    p: float

    @property
    def answers(self) -> tuple[int, int]:
        """(answers with a lower loss of the adapter, all answers)."""
        turns = [turn for row in self.rows for turn in row.turns]
        return sum(adapter < base for _, base, adapter in turns), len(turns)


class Divergence(Event):
    """How far the kept adapter moved its base's next-token distribution on general prompts.

    ``each``: (prompt, KL divergence of base and adapter in nats per token of its answer).
    """

    type: Literal["divergence"] = "divergence"
    step: int
    each: list[tuple[str, float]]

    @property
    def median(self) -> float:
        """The median over the prompts, in nats per token."""
        return median(kl for _, kl in self.each)


class Validation(Event):
    """A checkpoint's score on the validation questions; ``loss``: of the held-out rows."""

    type: Literal["validation"] = "validation"
    step: int
    loss: float | None = None
    right: int
    questions: int


class Answers(Event):
    """Progress of one model in an evaluation; ``label``: base, adapter, model, ceiling, floor-base ...

    ``won`` and ``lost``: questions that only this model, or only the base, answered right; ``sample``: the last.
    """

    type: Literal["answers"] = "answers"
    label: str
    questions: int
    answered: int
    right: int
    won: int | None = None
    lost: int | None = None
    seconds_left: float | None = None
    sample: str = ""


class Sample(Event):
    """A generated answer. ``label``: base or adapter; ``line``: of the held-out row; ``reference``: its answer."""

    type: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str
    label: str = "adapter"
    line: int | None = None
    reference: str = ""


class Checkpoint(Event):
    """A checkpoint that can be resumed from; ``path`` is relative to the run folder."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str


class Warning(Event):  # noqa: A001 - the name of the event on the wire
    """Something the user should know; the run continues."""

    type: Literal["warning"] = "warning"
    message: str


class Failed(Event):
    """The run ended without a result. ``settings``: see ``Fault``."""

    type: Literal["failed"] = "failed"
    cause: str
    hint: str = ""
    exit_code: int
    settings: list[str] | None = None


class Saved(Event):
    """The adapter is saved; ``path`` is relative to the run folder."""

    type: Literal["saved"] = "saved"
    path: str


class Released(Event):
    """RunPod accepted the request to stop or delete the pod."""

    type: Literal["released"] = "released"
    reason: str


class Done(Event):
    """The manifest is written; ``manifest`` is its path relative to the run folder."""

    type: Literal["done"] = "done"
    manifest: str


class Unknown(Event):
    """An event whose type or fields this reader does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


KINDS: dict[str, type[Event]] = {
    kind.model_fields["type"].default: kind
    for kind in Event.__subclasses__()
    if kind is not Unknown
}


class Writer:
    """Appends events to ``path``. Opening it cuts a torn last line and continues the numbering.

    Raises ``Locked`` while another process has the file open for writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._seq = 0

    def __enter__(self) -> Self:
        self._file = open_locked(self._path)
        seq = _parse_object(cut_torn_line(self._file)).get("seq", -1)
        self._seq = seq + 1 if isinstance(seq, int) else 0
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, event: Event) -> Event:
        """Write ``event`` as one whole line or not at all; return it as written."""
        stamped = event.model_copy(update={"seq": self._seq, "time": round(time.time(), 3)})
        assert self._file is not None, "an event before the file is open"
        append(self._file, stamped.model_dump_json().encode() + b"\n", fsync=False)
        self._seq += 1
        return stamped

    def close(self) -> None:
        """Close the file and release its lock; safe to call twice."""
        if self._file is not None:
            self._file.close()


def _parse_object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}


def send(pipe: int, event: Event) -> None:
    """Write ``event`` to a pipe whose reader numbers it: a line without ``seq`` and ``time``."""
    line = event.model_dump_json(exclude={"seq", "time"}).encode() + b"\n"
    while line:
        line = line[os.write(pipe, line) :]


def parse(line: bytes) -> Event | None:
    """Read one line; None if it is not an event."""
    value = _parse_object(line)
    kind = KINDS.get(str(value.get("type")))
    if kind is not None and value.get("v") == VERSION:
        try:
            return kind.model_validate(value)
        except ValidationError:
            pass
    try:
        return Unknown.model_validate(value)
    except ValidationError:
        return None


def read(path: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Return the events from byte ``offset`` on, and the offset after them.

    A missing file has no events. Raises ``BadData`` for a whole line that is not an event.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            block = file.read()
    except FileNotFoundError:
        return [], offset
    block = block[: block.rfind(b"\n") + 1]
    events = []
    position = offset
    for line in block.split(b"\n")[:-1]:
        event = parse(line)
        if event is None:
            raise BadData(
                f"{path}: byte {position}: not an event",
                "the file is damaged: copy it again from the machine of the run",
            )
        events.append(event)
        position += len(line) + 1
    return events, position


def follow(
    path: Path, *, offset: int = 0, alive: Callable[[], bool], wait: Callable[[], None]
) -> Iterator[Event]:
    """Yield new events until ``alive()`` is false and all of the file has been read."""
    while True:
        running = alive()
        events, offset = read(path, offset)
        yield from events
        if not running:
            return
        if not events:
            wait()
