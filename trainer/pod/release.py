"""Stop or delete this pod, with the key that RunPod gives to it. Standard library only.

``python -m trainer.pod.release --at TIME`` is the guard inside the pod: a separate process that sleeps until
a unix time and then stops or deletes the pod, even if the supervisor has failed.
"""

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Action = Literal["stop", "terminate"]

BASE_URL = "https://api.runpod.io"
TIMEOUT = 20.0
REFUSED = frozenset({401, 403})
# A pod that runs cannot be started: 409 when the key may, 401 or 403 when it may not.
PROBE = "start"
# The API's schema forbids unknown keys: a request with this one is answered 422 or 400 when the key may.
UNKNOWN = {"probe": True}
INVALID = frozenset({400, 422})
GONE = 404
NOT_NOW = 409
JSON = {"Content-Type": "application/json"}
PAUSES = (5.0, 15.0, 60.0)
LONG_PAUSE = 300.0
# After an accepted request, the pod should have ended within this time.
UNTIL_STOPPED = 120.0
MARK = "released"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """The API's answer. ``status`` is None if no answer came, or no request could be sent."""

    status: int | None
    text: str
    only: Action | None = None
    """After a probe: the one action that the key has the right to, as far as is known."""

    @property
    def refused(self) -> bool:
        return self.status in REFUSED

    @property
    def may(self) -> bool:
        """After a probe: the key may stop and delete this pod, or ``only`` one of both."""
        proved = {NOT_NOW, *(INVALID if self.only else ())}
        return self.status is not None and (self.status in proved or self.status // 100 == 2)

    @property
    def done(self) -> bool:
        return self.status is not None and (self.status // 100 == 2 or self.status == GONE)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the key to another host."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


class Api:
    """The one API call that a pod makes. Never raises: the answer holds the error, without the key."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._key = env.get("RUNPOD_API_KEY", "")
        self._pod = env.get("RUNPOD_POD_ID", "")
        self._base = env.get("RUNPOD_API_BASE_URL", BASE_URL).rstrip("/")
        self._open = urllib.request.build_opener(_NoRedirect).open

    def probe(self) -> Answer:
        """Request what is impossible now: status 409 means that the key may stop and delete this pod.

        If the key has no right to that, ask for ``stop`` and ``terminate`` in requests that are invalid.
        """
        first = self._post(PROBE)
        # An API that looks at the request before the rights would answer 422 to any key.
        if not first.refused or not self._post(PROBE, **UNKNOWN).refused:
            return first
        actions: tuple[Action, ...] = ("stop", "terminate")
        for action in actions:
            answer = self._post(action, **UNKNOWN)
            if not answer.refused:
                return replace(answer, only=action)
        return first

    def act(self, action: Action) -> Answer:
        """Request ``action``. The answer is ``done`` if the pod is being stopped or deleted, or is deleted."""
        return self._post(action)

    def _post(self, action: str, **more: bool) -> Answer:
        needed = {"RUNPOD_API_KEY": self._key, "RUNPOD_POD_ID": self._pod}
        if missing := [name for name, value in needed.items() if not value]:
            return Answer(401, f"{' and '.join(missing)} not set")
        try:
            request = urllib.request.Request(  # noqa: S310 - the address is the operator's
                f"{self._base}/v2/pods/{self._pod}/action",
                data=json.dumps({"action": action, **more}).encode(),
                headers={"Authorization": f"Bearer {self._key}"} | JSON,
                method="POST",
            )
            with self._open(request, timeout=TIMEOUT) as response:
                return Answer(response.status, "accepted")
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, f"{action}: HTTP {error.code} {error.reason}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            text = str(error).replace(self._key, "...")
            return Answer(None, f"{action}: {type(error).__name__}: {text}")


def deadline_action(run: Path, on_deadline: str) -> Action:
    """Return what to do at a deadline: a pod with a complete result is stopped, never deleted."""
    complete = False
    with suppress(OSError, ValueError, AttributeError):
        complete = json.loads((run / MANIFEST).read_bytes()).get("complete") is True
    return "terminate" if on_deadline == "delete" and not complete else "stop"


def stop_or_delete(
    action: Action,
    *,
    act: Callable[[Action], Answer],
    mark: Path | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    at_deadline: bool,
    accepted: Callable[[], None] = lambda: None,
) -> None:
    """Request ``action`` until the pod ends; returns only by an exception of ``sleep``.

    If the file ``mark`` exists at the next boot, a user has started the pod. A refused ``terminate`` becomes
    ``stop``. A ``stop`` that is refused twice becomes ``terminate`` ``at_deadline``; otherwise it is
    reported, and requested again every few minutes.
    """
    tries = 0
    refused, may_delete = False, at_deadline
    while True:
        if mark is not None:
            with suppress(OSError):
                mark.write_text(action, encoding="utf-8")
        answer = act(action)
        if answer.done:
            accepted()
            sleep(UNTIL_STOPPED)
            say(f"{action} was accepted {UNTIL_STOPPED:.0f} s ago, and this pod still runs")
            continue
        if answer.refused and action == "terminate":
            say(f"may not delete itself ({answer.text}): trying to stop")
            action, may_delete = "stop", False
            continue
        if answer.refused and may_delete and refused:
            say(f"may not stop itself ({answer.text}): deleting itself, what is on it is lost")
            action = "terminate"
            continue
        refused = answer.refused
        pause = PAUSES[tries] if tries < len(PAUSES) else LONG_PAUSE
        tries += 1
        if mark is not None and answer.status is not None and answer.status != NOT_NOW:
            with suppress(OSError):
                mark.unlink()
        if answer.refused and may_delete:
            pause = PAUSES[0]
            say(f"{answer.text}: trying again in {pause:.0f} s")
        elif answer.refused:
            pause = LONG_PAUSE
            say(
                f"THIS POD CANNOT {action.upper()} ITSELF AND IS STILL BILLED: {answer.text}. "
                "Delete it with `launch reap`, or in RunPod's console"
            )
        else:
            say(f"{answer.text}: trying again in {pause:.0f} s")
        sleep(pause)


def _say(text: str) -> None:
    sys.stdout.write(f"guard: {text}\n")
    sys.stdout.flush()


def main() -> None:
    """Wait until ``--at``, then stop or delete this pod."""
    parser = argparse.ArgumentParser(prog="python -m trainer.pod.release", description=main.__doc__)
    parser.add_argument("--at", type=float, required=True, help="unix seconds")
    parser.add_argument("--root", type=Path, required=True, help="folder of the run on the mount")
    parser.add_argument("--on-deadline", choices=["stop", "delete"], default="stop")
    options = parser.parse_args()
    # Short sleeps: the clock may be set meanwhile.
    while (left := options.at - time.time()) > 0:
        time.sleep(min(left, 10.0))
    action = deadline_action(options.root / "run", options.on_deadline)
    _say(f"the time is up: {action}")
    api, mark = Api(os.environ), options.root / MARK
    stop_or_delete(action, act=api.act, mark=mark, say=_say, sleep=time.sleep, at_deadline=True)


if __name__ == "__main__":
    main()
