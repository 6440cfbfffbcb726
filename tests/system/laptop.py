"""A laptop for system tests: the `launch` command as a user runs it, in a folder of its own."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import launcher
from tests.system.client import until
from trainer.contract import events, manifest

CODE = Path(launcher.__file__).parents[1]
PASSED_ON = ("PATH", "TZ", "LANG", "LC_ALL", "VIRTUAL_ENV", "OMP_NUM_THREADS")


class Laptop:
    """`folder` is home and project; `variables` go to every command. ``close()`` ends what still runs."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self._variables = {
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            "PYTHONPATH": str(CODE),
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            **variables,
        }
        self._begun: list[Command] = []
        self._count = itertools.count()

    def launch(self, *words: str, altered: Mapping[str, Any] | None = None) -> "Command":
        """Starts ``launch words...``; with ``altered`` as ``tests.system.altered`` describes it."""
        entry = ["launcher"] if altered is None else ["tests.system.altered", json.dumps(altered)]
        return self._begin([sys.executable, "-m", *entry, *words], self._variables)

    def shell(self, script: str) -> "Command":
        """Starts bash on lines as a user types them; the first that fails ends it."""
        launch = self.folder / "bin" / "launch"
        launch.parent.mkdir(exist_ok=True)
        launch.write_text(f'#!/bin/sh\nexec {sys.executable} -m launcher "$@"\n')
        launch.chmod(0o755)
        path = f"{launch.parent}:{self._variables.get('PATH', os.defpath)}"
        return self._begin(["bash", "-ec", script], {**self._variables, "PATH": path})

    def _begin(self, command: list[str], variables: Mapping[str, str]) -> "Command":
        said = self.folder / f"said-{next(self._count)}.txt"
        begun = Command(command, self.folder, variables, said=said)
        self._begun.append(begun)
        return begun

    def run(self, name: str) -> Path:
        return self.folder / "runs" / name

    def journal(self, name: str) -> list[dict[str, Any]]:
        """What the journal of a run says so far, whole lines only."""
        try:
            text = (self.run(name) / "journal.jsonl").read_text("utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines(keepends=True) if line[-1] == "\n"]

    def journalled(self, name: str, what: str, stage: str) -> bool:
        return any((one["what"], one["stage"]) == (what, stage) for one in self.journal(name))

    def events(self, name: str) -> list[events.Event]:
        """What came home of a run's events."""
        path = self.run(name) / "events.jsonl"
        return events.read(path)[0] if path.exists() else []

    def steps(self, name: str) -> list[int]:
        return [one.step for one in self.events(name) if isinstance(one, events.Step)]

    def phases(self, run: str, name: str) -> list[str]:
        """The details of each phase of that name."""
        seen = [one for one in self.events(run) if isinstance(one, events.Phase)]
        return [one.detail for one in seen if one.name == name]

    def result(self, name: str) -> manifest.Manifest:
        """The manifest of a run, every file of it compared by hash."""
        return manifest.verify(self.run(name))

    def receipt(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run(name) / "receipt.json").read_text("utf-8"))
        return found

    def guards(self) -> list[int]:
        """The process ids of every guard that was started."""
        runs = [path.parent.name for path in self.folder.glob("runs/*/journal.jsonl")]
        found = [one for run in runs for one in self.journal(run) if one["what"] == "guard"]
        return [one["facts"]["pid"] for one in found if one["facts"].get("pid")]

    def close(self) -> None:
        for one in self._begun:
            one.kill()
        for pid in self.guards():
            # Its id may have gone to another process meanwhile.
            with suppress(OSError):
                if str(self.folder).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)


class Command:
    def __init__(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, said: Path
    ) -> None:
        self._said = said
        with said.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8")

    def running(self) -> bool:
        return self._process.poll() is None

    def ended(self, *, seconds: float = 300.0) -> int:
        """Waits for the end; the exit code."""
        until(lambda: not self.running(), seconds=seconds)
        return self._process.wait()

    def interrupt(self) -> None:
        """Ctrl-C."""
        if self.running():
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
