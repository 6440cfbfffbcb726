"""What the supervisor uses besides files: time, processes, the GPU, the container's log, RunPod's API.

Tests pass an object with the same methods, and run it in virtual time.
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
from typing import Any

from trainer.contract.pod import EVENTS_FD
from trainer.gpu_use import gpu_use
from trainer.pod import download
from trainer.pod.release import Action, Answer, Api
from trainer.processes.child import PIPE_BYTES, Child


class System:
    """The pod's clock, processes, GPU, log and API; ``stop_asked``: a signal to stop has come."""

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
        """Sleep; wake early when ``child`` writes an event, or at a signal to stop."""
        watched = [self._wake]
        if child is not None and child.pipe is not None:
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
    ) -> Child:
        """Start ``argv``; its stderr goes to ``log`` (else to this one's), its events into a pipe."""
        ends, pipe = [], None
        environment = dict(env)
        with contextlib.ExitStack() as stack:
            if events:
                pipe, end = os.pipe()
                stack.callback(os.close, end)
                os.set_blocking(pipe, False)
                with contextlib.suppress(OSError):
                    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                ends.append(end)
                environment[EVENTS_FD] = str(end)
            process = subprocess.Popen(
                argv,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stderr=stack.enter_context(log.open("ab")) if log else None,
                pass_fds=ends,
                start_new_session=True,
            )
        return Child(process, pipe)

    def gpu_use(self) -> int | None:
        """Return the busiest card's use in percent; None if it is unknown."""
        return gpu_use()

    def download_is_running(self, port: int) -> bool:
        """Say whether a download from sshd's ``port`` is running."""
        return download.is_running(port)

    def probe(self) -> Answer:
        return self._api.probe()

    def act(self, action: Action) -> Answer:
        return self._api.act(action)
