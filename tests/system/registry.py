"""What registries hold; and one that asks for a password, beside the open one that setup.sh starts."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import bcrypt

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Layer:
    """A layer as it is pushed: `size` in bytes, compressed; `made_by` the step it is of."""

    digest: str
    size: int
    made_by: str


def layers(reference: str) -> list[Layer]:
    """The layers of ``host:port/repository@digest`` in an open registry, base first."""
    name, _, digest = reference.partition("@")
    with blob(name, f"manifests/{digest}", Accept=MANIFEST) as answer:
        manifest = json.load(answer)
    with blob(name, f"blobs/{manifest['config']['digest']}") as answer:
        history = json.load(answer)["history"]
    steps = [step.get("created_by", "") for step in history if not step.get("empty_layer")]
    return [
        Layer(layer["digest"], layer["size"], step)
        for layer, step in zip(manifest["layers"], steps, strict=True)
    ]


@contextmanager
def blob(name: str, what: str, **headers: str) -> Iterator[HTTPResponse]:
    """The open answer to a question about ``host:port/repository``."""
    registry, _, repository = name.partition("/")
    connection = HTTPConnection(registry, timeout=60)
    try:
        connection.request("GET", f"/v2/{repository}/{what}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, (what, answer.status)
        yield answer
    finally:
        connection.close()


@contextmanager
def private_registry(folder: Path, *, user: str, password: str) -> Iterator[str]:
    """Serves images kept in `folder` to `user` alone, from the loopback. Yields ``host:port``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    secret = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "users").write_text(f"{user}:{secret}\n")
    settings = folder / "registry.yml"
    settings.write_text(
        "version: 0.1\n"
        "log: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n"
        f"http: {{addr: {address}, secret: loopback-only}}\n"
        f"auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            ["docker-registry", "serve", str(settings)], stdout=log, stderr=log
        )
        try:
            _await(address)
            yield address
        finally:
            server.terminate()
            server.wait(10)


def _await(address: str) -> None:
    for _ in range(100):
        connection = HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/v2/")
            if connection.getresponse().status == 401:
                return
        except ConnectionRefusedError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"no registry on {address}")
