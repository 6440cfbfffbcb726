"""An HTTP server on loopback that answers from a script, and a client of it."""

import json
import socket
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from launcher.runpod_api import Api, PodRequest

KEY = "rpa_CANARY0123456789"
DROP = "drop"  # read the request, then hang up
LOGS = "/v2/pods/abc123/logs"

POD = {
    "id": "abc123",
    "name": "sft-1",
    "status": "RUNNING",
    "actions": ["stop", "terminate"],
    "image": "ghcr.io/me/sft@sha256:00",
    "cost": 0.27,
    "gpu": {"id": "NVIDIA RTX A5000", "count": 1},
    "dataCenterId": "EU-RO-1",
    "cudaVersion": "13.0",
    "ssh": {"proxy": None, "direct": {"host": "192.0.2.7", "port": 40022, "username": "root"}},
    "runtime": {"uptime": 12, "gpus": [{"util": 97, "memoryUtil": 40}]},
    "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA"},
    "createdAt": "2026-11-22T12:00:00Z",
    "startedAt": None,
    "somethingNew": {"x": 1},
}


REQUEST = PodRequest(
    name="sft-1",
    image="ghcr.io/me/sft@sha256:00",
    gpu_id="NVIDIA RTX A5000",
    gpu_count=1,
    min_cuda="13.0",
    disk=20,
    mount="/workspace",
    volume_gb=30,
    env={"FINISH_BY": "1", "GONE_BY": "2"},
)


class Fake:
    """Answers from a script: ``on(method, path, ...)`` queues answers, the last one stays."""

    def __init__(self):
        self.script: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.asked: list[Any] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                seen = (self.command, url.path, query, json.loads(body or b"null"), self.headers)
                fake.asked.append(seen)
                queue = fake.script[self.command, url.path]
                answer = (404, {"detail": "no such thing"}) if not queue else queue[0]
                if len(queue) > 1:
                    del queue[0]
                if answer == DROP:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                self.reply(*answer)

            do_GET = do_POST = do_DELETE = do_PUT = answer

            def reply(self, status, content=None, headers=(), then=None):
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                data = b"" if content is None else data
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                if then is None:
                    self.send_header("Content-Length", str(len(data)))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(data)
                if then is not None:
                    then()
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def on(self, method, path, *answers):
        self.script[method, path] += [
            a if isinstance(a, tuple | str) else (200, a) for a in answers
        ]

    def count(self, method, path):
        return sum(asked[:2] == (method, path) for asked in self.asked)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def fake():
    made = Fake()
    yield made
    made.close()


@pytest.fixture
def slept():
    return []


@pytest.fixture
def api(fake, slept):
    with Api(KEY, fake.url, now=lambda: 1000.0, sleep=slept.append, draw=lambda: 0.5) as made:
        yield made


def problem(status, detail, *errors):
    return status, {"title": "T", "status": status, "detail": detail, "errors": list(errors)}


def event(number, line, source="container"):
    data = json.dumps({"ts": f"t{number}", "source": source, "line": line})
    return f"id: t{number}/{number:012}\ndata: {data}\n\n"


def stream(*events, then=lambda: None):
    """An answer that is written and then left open until ``then`` returns."""
    return 200, "".join(events).encode(), {"Content-Type": "text/event-stream"}, then
