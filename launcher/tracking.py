"""A run's metrics for trackio or W&B: from its events as they come in here, wherever the run is.

Nothing of it reaches the machine that trains: no package, no key. What was sent is remembered in the run
folder, so that attaching, resuming and asking afterwards send each step once.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from launcher.context import Context
from launcher.runs.run_folder import Run
from launcher.view.protocol import View
from launcher.view.tracked import TrackedView
from trainer.contract import events
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import NotInstalled, Usage
from trainer.contract.episodes import COMPARISON

MARK = "tracked.json"
VERSIONS = {"trackio": ">=0.43,<0.44", "wandb": ">=0.31,<0.32"}
"""Those tried. In no extra: trackio wants an older pillow than the one that is pinned."""
SENT = (
    "loss lr grad_norm epoch tokens trained_tokens tokens_per_second trained_tokens_per_second "
    "memory_bytes mfu gpu_use"
).split()


class Tracker(Protocol):
    def log(self, values: Mapping[str, float], *, step: int) -> None: ...

    def finish(self) -> None: ...


class Trackio:
    """Without an account: a database on this machine, which `trackio show` displays."""

    def __init__(self, project: str, run: Run, config: dict[str, Any]) -> None:
        self._api = import_module("trackio")
        with redirect_stdout(io.StringIO()):
            self._api.init(
                project,
                name=run.id,
                config=config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        self._api.log({**values}, step=step)

    def finish(self) -> None:
        with redirect_stdout(io.StringIO()):
            self._api.finish()


class Wandb:
    """Its own variables hold: WANDB_API_KEY, WANDB_MODE=offline, WANDB_BASE_URL."""

    def __init__(self, project: str, run: Run, config: dict[str, Any]) -> None:
        api = import_module("wandb")
        self._run = api.init(
            project=project,
            id=run.id,
            name=run.id,
            config=config,
            resume="allow",
            dir=str(run.folder),
            settings=api.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        self._run.log({**values}, step=step)

    def finish(self) -> None:
        self._run.finish()


TRACKERS: Mapping[str, Callable[[str, Run, dict[str, Any]], Tracker]] = {
    "trackio": Trackio,
    "wandb": Wandb,
}


def check(name: str, *, variable: Callable[[str], str]) -> None:
    """Raise ``NotInstalled`` if the tracker's package is missing, ``Usage`` without a key.

    "none" needs neither. ``variable`` looks up the environment.
    """
    if name == "none":
        return
    if find_spec(name) is None:
        raise NotInstalled(
            f"{name} is not installed, and --track {name} needs it",
            f"install it here with: pip install '{name}{VERSIONS[name]}' (or drop --track)",
        )
    online = variable("WANDB_MODE") not in {"offline", "disabled"}
    if name == "wandb" and online and not import_module("wandb").login(prompt=False):
        raise Usage("the W&B API key is missing", "run: wandb login (or set WANDB_MODE=offline)")


def metrics(event: events.Event) -> tuple[int, dict[str, float]] | None:
    """What is sent of an event, and the step it belongs to."""
    if isinstance(event, events.Step):
        told = event.model_dump(include=set(SENT))
        return event.step, {f"train/{name}": told[name] for name in SENT if told[name] is not None}
    if isinstance(event, events.Eval):
        return event.step, {"eval/loss": event.loss}
    return None


class Sending:
    """A run's metrics on their way to a tracker. What the tracker fails with ends it, not the run."""

    def __init__(self, run: Run, name: str, project: str, view: View) -> None:
        self._run = run
        self._view = view
        self._name = name
        self._project = project
        self._sent = _marks(run.folder / MARK).get(name, {})
        self._last = 0
        self._tracker: Tracker | None = None
        self._failed = False

    def take(self, event: events.Event) -> None:
        """Send what is new in it."""
        found = metrics(event)
        if found is None:
            return
        self._last = max(self._last, found[0])
        if found[0] > self._sent.get(event.type, 0):
            self._log(found[1], found[0])
            self._sent[event.type] = found[0]

    def catch_up(self) -> None:
        """Send what the run folder holds by now, of all attempts."""
        folder = self._run.folder
        for path in [*sorted(folder.glob("attempt-*/events.jsonl")), self._run.events]:
            for event in events.read(path)[0]:
                self.take(event)

    def finish(self) -> None:
        """Send the comparison of base and adapter, if there is one, and end."""
        compared = _object(self._run.folder / COMPARISON)
        told = {name: compared.get(name) for name in ("base", "adapter", "difference")}
        values = {f"tasks/{k}": float(v) for k, v in told.items() if isinstance(v, int | float)}
        if values and "comparison" not in self._sent:
            self._log(values, self._last)
            self._sent["comparison"] = self._last
        if self._tracker is not None:
            with self._guarded():
                self._tracker.finish()
                marks = _marks(self._run.folder / MARK) | {self._name: self._sent}
                write_whole(self._run.folder / MARK, json.dumps(marks) + "\n")
        self._tracker = None

    def _log(self, values: Mapping[str, float], step: int) -> None:
        if self._failed:
            return
        with self._guarded():
            if self._tracker is None:
                config = _object(self._run.job)
                self._tracker = TRACKERS[self._name](self._project, self._run, config)
            self._tracker.log(values, step=step)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a library's: a run that costs money must continue
            self._failed, self._tracker = True, None
            what = " ".join(str(error).split())[:200]
            self._view.say(
                f"warning: {self._name} failed, no more metrics are sent ({what}); "
                f"send them later with: launch report {self._run.id} --track {self._name}"
            )


@contextmanager
def tracked(context: Context, run: Run) -> Iterator[Context]:
    """The context, with a view that sends the run's metrics too where the settings ask for it."""
    settings = context.settings
    if settings.track == "none":
        yield context
        return
    sending = Sending(run, settings.track, settings.track_project, context.view)
    sending.catch_up()
    try:
        yield replace(context, view=TrackedView(context.view, sending.take))
    finally:
        sending.finish()


def send(run: Run, name: str, project: str, view: View) -> None:
    """Send what is there of a run, and was not sent. Raises ``BadData`` for damaged events."""
    sending = Sending(run, name, project, view)
    sending.catch_up()
    sending.finish()


def _marks(path: Path) -> dict[str, dict[str, int]]:
    found = _object(path)
    return {name: value for name, value in found.items() if isinstance(value, dict)}


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
