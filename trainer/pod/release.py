"""Stop or delete the pod we are in, with the key that RunPod gives to it. Standard library only.

``python -m trainer.pod.release --at INSTANT`` is the guard that needs nobody: a process of its own that
sleeps until a unix time and then lets the pod go, whatever became of the supervisor.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Action = Literal["stop", "terminate"]

BASE_URL = "https://api.runpod.io"
TIMEOUT = 20.0
REFUSED = frozenset({401, 403})
# A pod that runs cannot be started: 409 when the key may, 401 or 403 when it may not.
PROBE = "start"
GONE = 404
NOT_NOW = 409
PAUSES = (5.0, 15.0, 60.0)
LONG_PAUSE = 300.0
# For what was accepted to happen to us.
UNTIL_STOPPED = 120.0
MARK = "released"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said. ``status`` is ``None`` when nothing came back, or nothing could be asked."""

    status: int | None
    text: str

    @property
    def refused(self) -> bool:
        return self.status in REFUSED

    @property
    def may(self) -> bool:
        """To a probe: the key may act on this pod."""
        return self.status is not None and (self.status == NOT_NOW or self.status // 100 == 2)

    @property
    def done(self) -> bool:
        return self.status is not None and (self.status // 100 == 2 or self.status == GONE)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


class Api:
    """The one call that a pod makes. Never raises: what went wrong is in the answer, without the key."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._key = env.get("RUNPOD_API_KEY", "")
        self._pod = env.get("RUNPOD_POD_ID", "")
        self._base = env.get("RUNPOD_API_BASE_URL", BASE_URL).rstrip("/")
        self._open = urllib.request.build_opener(_NoRedirect).open

    def probe(self) -> Answer:
        """Ask for something that cannot be done now: 409 says that the key may act on this pod."""
        return self._post(PROBE)

    def act(self, action: Action) -> Answer:
        """Ask for ``action``. An answer that is ``done`` means that the pod is going, or gone."""
        return self._post(action)

    def _post(self, action: str) -> Answer:
        missing = [
            name
            for name, value in (("RUNPOD_API_KEY", self._key), ("RUNPOD_POD_ID", self._pod))
            if not value
        ]
        if missing:
            return Answer(401, f"{' and '.join(missing)} not set")
        try:
            request = urllib.request.Request(  # noqa: S310 - the address is the operator's
                f"{self._base}/v2/pods/{self._pod}/action",
                data=json.dumps({"action": action}).encode(),
                headers={
                    "Authorization": f"Bearer {self._key}",
                    "Content-Type": "application/json",
                },
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
    """Return what to do at a deadline: a complete result is stopped with, never deleted."""
    complete = False
    with suppress(OSError, ValueError, AttributeError):
        complete = json.loads((run / MANIFEST).read_bytes()).get("complete") is True
    return "terminate" if on_deadline == "delete" and not complete else "stop"


def let_go(
    action: Action,
    *,
    act: Callable[[Action], Answer],
    mark: Path | None,
    say: Callable[[str], None],
    sleep: Callable[[float], None],
    accepted: Callable[[], None] = lambda: None,
) -> None:
    """Ask until we are gone; return only when ``sleep`` does not come back or raises.

    ``mark`` is left behind, so that the next boot knows that someone started the pod again. A refused
    ``terminate`` becomes ``stop``; refused altogether, it is said and asked again every few minutes.
    """
    tries = 0
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
            action = "stop"
            continue
        pause = PAUSES[tries] if tries < len(PAUSES) else LONG_PAUSE
        tries += 1
        if mark is not None and answer.status is not None and answer.status != NOT_NOW:
            with suppress(OSError):
                mark.unlink()
        if answer.refused:
            pause = LONG_PAUSE
            say(
                f"THIS POD CANNOT {action.upper()} ITSELF AND IS STILL BILLED: {answer.text}. "
                "Delete it with `launch reap`, or in RunPod's console"
            )
        else:
            say(f"{answer.text}: asking again in {pause:.0f} s")
        sleep(pause)


def _say(text: str) -> None:
    sys.stdout.write(f"guard: {text}\n")
    sys.stdout.flush()


def main() -> None:
    """Wait for ``--at``, then let the pod go."""
    parser = argparse.ArgumentParser(prog="python -m trainer.pod.release", description=main.__doc__)
    parser.add_argument("--at", type=float, required=True, help="unix seconds")
    parser.add_argument("--root", type=Path, required=True, help="the run's folder on the mount")
    parser.add_argument("--on-deadline", choices=["stop", "delete"], default="stop")
    options = parser.parse_args()
    # Short naps, for the clock may be set while we sleep.
    while (left := options.at - time.time()) > 0:
        time.sleep(min(left, 10.0))
    action = deadline_action(options.root / "run", options.on_deadline)
    _say(f"the time is up: {action}")
    let_go(
        action,
        act=Api(os.environ).act,
        mark=options.root / MARK,
        say=_say,
        sleep=time.sleep,
    )


if __name__ == "__main__":
    main()
