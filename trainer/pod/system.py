"""What the supervisor touches of the world: time, processes, the GPU, the container's log, the API.

Tests give it another of the same shape and run it in virtual time.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from trainer.contract.pod import EVENTS_FD
from trainer.gpu_use import gpu_use
from trainer.pod.release import Action, Answer, Api
from trainer.processes.child import PIPE_BYTES, Child, Process


class Outside(Protocol):
    """The one object through which the supervisor touches anything but files."""

    stop_asked: bool

    def now(self) -> float: ...

    def wait(self, seconds: float, child: Child | None = None) -> None:
        """Sleep; wake early when ``child`` says something, or when we are asked to stop."""

    def say(self, text: str) -> None: ...

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path | None = None,
        events: bool = False,
    ) -> Child: ...

    def gpu_use(self) -> int | None:
        """Return the busiest card's use in percent; ``None`` when it cannot be known."""

    def probe(self) -> Answer: ...

    def act(self, action: Action) -> Answer: ...


class World:
    """``Outside``, as it is."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._api = Api(env)
        self.stop_asked = False
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self.stop_asked = True

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float, child: Child | None = None) -> None:
        watched = [self._wake]
        if isinstance(child, Process) and child.pipe is not None:
            watched.append(child.pipe)
        ready, _, _ = select.select(watched, [], [], max(seconds, 0.0))
        if self._wake in ready:
            os.read(self._wake, 64)

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path | None = None,
        events: bool = False,
    ) -> Process:
        """Start ``argv``; its errors go to ``log`` (else to ours), its events into a pipe."""
        theirs, ours = [], None
        environment = dict(env)
        with contextlib.ExitStack() as stack:
            if events:
                ours, end = os.pipe()
                stack.callback(os.close, end)
                os.set_blocking(ours, False)
                with contextlib.suppress(OSError):
                    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                theirs.append(end)
                environment[EVENTS_FD] = str(end)
            errors = stack.enter_context(log.open("ab")) if log else None
            process = subprocess.Popen(
                argv,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=theirs,
                start_new_session=True,
            )
        return Process(process, ours)

    def gpu_use(self) -> int | None:
        return gpu_use()

    def probe(self) -> Answer:
        return self._api.probe()

    def act(self, action: Action) -> Answer:
        return self._api.act(action)
