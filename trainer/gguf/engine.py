"""A GGUF model in llama.cpp: what it tokenises, renders, predicts and writes.

llama.cpp runs in a separate process (``python -m trainer.gguf``) behind its HTTP server, on a free port of this
machine.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from trainer.contract.command.errors import ResultRejected
from trainer.data.masks import IGNORED

COMMAND = (sys.executable, "-P", "-m", "trainer.gguf")
JSON = {"Content-Type": "application/json"}
CERTAIN = 1e6  # added to the logit of the token that is scored, so that it is the one that is drawn
END_SECONDS = 10.0


class Scored(NamedTuple):
    """A token's log-probability in nats, and the id of the likeliest token in its place."""

    log_prob: float
    likeliest: int


class Engine:
    """Context manager: llama.cpp with ``model`` and, on top of it, the adapter ``lora``.

    ``context``: the most tokens of a request. ``slots``: requests at a time. Raises ``ResultRejected`` if
    llama.cpp cannot load the files.
    """

    def __init__(
        self, model: Path, lora: Path | None = None, *, context: int, slots: int = 1
    ) -> None:
        self._lora = lora
        arguments = [str(model), "--context", str(context), "--slots", str(slots)]
        arguments += ["--threads", str(_threads())]
        arguments += ["--lora", str(lora)] if lora else []
        with tempfile.TemporaryFile() as errors:
            # In a new session: Ctrl-C comes to this process alone, which then ends it.
            self._process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
            assert self._process.stdout is not None
            self.address = self._process.stdout.readline().strip()
            if not self.address:
                self.close()
                errors.seek(0)
                lines = errors.read().decode(errors="replace").strip().splitlines()
                reason = next((one for one in reversed(lines) if "error" in one), "no reason")
                raise ResultRejected(
                    f"llama.cpp cannot load {lora or model}: {reason.strip()}", "export it again"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_SECONDS)
        self._process.stdout.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the server."""
        return http.client.HTTPConnection(urlsplit(self.address).netloc)

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of ``text``, in which special tokens count as such; no BOS is added."""
        wanted = {"content": text, "add_special": False, "parse_special": True}
        with closing(self.connect()) as connection:
            return list(self._post(connection, "/tokenize", wanted)["tokens"])

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the text of a chat by the file's template, ending with the generation prompt."""
        body = {"messages": list(messages)}
        with closing(self.connect()) as connection:
            return str(self._post(connection, "/apply-template", body)["prompt"])

    def score(self, ids: Sequence[int], labels: Sequence[int], *, most: int) -> list[Scored]:
        """Score the first ``most`` trained tokens of a row."""
        found: list[Scored] = []
        wanted = [at for at in range(1, len(ids)) if labels[at] != IGNORED][:most]
        with closing(self.connect()) as connection:
            for at in wanted:
                body = {
                    "prompt": list(ids[:at]),
                    "n_predict": 1,
                    "n_probs": 1,
                    "logit_bias": [[ids[at], CERTAIN]],
                    "temperature": 0,
                    "response_fields": ["completion_probabilities"],
                    **self._scale(adapter=True),
                }
                token = self._post(connection, "/completion", body)["completion_probabilities"][0]
                found.append(Scored(float(token["logprob"]), int(token["top_logprobs"][0]["id"])))
        return found

    def stream(
        self, messages: Sequence[Mapping[str, Any]], *, adapter: bool = True, **options: Any
    ) -> Iterator[str]:
        """Yield the answer to a chat piece by piece. ``options``: OpenAI's, such as ``max_tokens``."""
        body = {"messages": list(messages), "stream": True, **self._scale(adapter=adapter)}
        with closing(self.connect()) as connection:
            connection.request("POST", "/v1/chat/completions", json.dumps(body | options), JSON)
            answer = connection.getresponse()
            _check(answer)
            for line in answer:
                _, data, event = line.decode().partition("data: ")
                if data and event.strip() != "[DONE]":
                    for choice in json.loads(event)["choices"]:
                        yield choice["delta"].get("content") or ""

    def _scale(self, *, adapter: bool) -> dict[str, Any]:
        return {"lora": [{"id": 0, "scale": float(adapter)}]} if self._lora else {}

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]
    ) -> Any:
        connection.request("POST", path, json.dumps(body), JSON)
        answer = connection.getresponse()
        _check(answer)
        return json.loads(answer.read())


def _check(answer: http.client.HTTPResponse) -> None:
    if answer.status != http.client.OK:
        text = answer.read().decode(errors="replace")
        raise ResultRejected(f"llama.cpp answers {answer.status}: {text[:300]}", "")


def _threads() -> int:
    """As many as this process may use. More than that stop each other: llama.cpp's threads wait by spinning."""
    if given := os.environ.get("OMP_NUM_THREADS"):
        return int(given)
    mine = getattr(os, "sched_getaffinity", None)
    return len(mine(0)) if mine else os.cpu_count() or 1
