"""A registry of its own that asks for a password, beside the open one that setup.sh starts."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import bcrypt


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
