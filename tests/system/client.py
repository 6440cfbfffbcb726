"""A RunPod v2 client of a few lines, for tests: raw answers, nothing retried, nothing hidden."""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, Self

import httpx2 as httpx

CARD = "NVIDIA RTX A5000"


class Client:
    """`url` and `key` of an emulator; answers as ``httpx.Response``."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self._http.get(path, params=query)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self._http.post(path, json=body)

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._http.request(method, path, **how)

    def create(self, image: str, /, **changes: Any) -> httpx.Response:
        """Creates a pod with all that a launcher sends; `changes` replace keys, None removes one."""
        body = {
            "name": "run-1",
            "image": image,
            "gpu": {"id": CARD, "count": 1},
            "disk": 20,
            "ports": ["22/tcp"],
            "mounts": {"persistent": {"size": 10, "path": "/workspace"}},
            "env": {},
            **changes,
        }
        return self.post(
            "/v2/pods", {key: value for key, value in body.items() if value is not None}
        )

    def pod(self, key: str) -> dict[str, Any]:
        answer = self.get(f"/v2/pods/{key}").raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def act(self, key: str, action: str) -> httpx.Response:
        return self.post(f"/v2/pods/{key}/action", {"action": action})

    def status(self, key: str, wanted: str) -> dict[str, Any]:
        """Waits for a status and returns the pod."""
        found: dict[str, Any] = until(lambda: (pod := self.pod(key))["status"] == wanted and pod)
        return found

    def lines(
        self, key: str, *, last: str | None = None, **query: Any
    ) -> Generator[tuple[str, dict[str, str]]]:
        """The log stream: id and data of each event."""
        headers = {"Last-Event-ID": last} if last else {}
        with self._http.stream(
            "GET", f"/v2/pods/{key}/logs", params=query, headers=headers
        ) as answer:
            answer.raise_for_status()
            event = ""
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    event = line[4:]
                elif line.startswith("data: "):
                    yield event, json.loads(line[6:])

    def some(self, key: str, count: int, **how: Any) -> Iterator[tuple[str, str]]:
        """The first `count` events of the log stream: id and text."""
        with closing(self.lines(key, **how)) as stream:
            for event, data in islice(stream, count):
                yield event, data["line"]

    def line(self, key: str, start: str, **query: Any) -> str:
        """Waits for a log line that begins with `start`."""
        with closing(self.lines(key, tail=5000, **query)) as stream:
            return next(data["line"] for _, data in stream if data["line"].startswith(start))


def until(look: Callable[[], Any], *, seconds: float = 20.0) -> Any:
    """What `look` returns once that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"nothing came of it in {seconds} seconds"
        time.sleep(0.05)
    return found
