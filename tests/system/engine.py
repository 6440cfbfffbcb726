"""The Docker engine under the system tests: images built once, pushed to the loopback registry.

``Engine.connect()`` raises `NoEngine` with the reason where no engine answers; ``setup.sh`` beside
this file brings one up. Builds are keyed by a hash of everything that goes in, kept as a label, so
that a second run builds nothing.
"""

import hashlib
import io
import os
import socket
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import docker.errors

DEBIAN = os.environ.get("SFT_TEST_BASE", "sft-debian:bookworm")
REGISTRY = os.environ.get("SFT_TEST_REGISTRY", "127.0.0.1:5000")
INPUTS = "sft.test.inputs"


class NoEngine(Exception):
    """No Docker engine, registry or base image: the message says which, and what to do."""


@dataclass(frozen=True)
class Engine:
    client: Any
    """A ``docker.DockerClient``; the package has no types."""
    registry: str
    """``host:port`` of a registry on the loopback that takes pushes without a password."""

    @classmethod
    def connect(cls) -> "Engine":
        """An engine that answers, with its registry and base image in place.

        Raises:
            NoEngine: one of them is missing.
        """
        remedy = "run tests/system/setup.sh as root"
        try:
            _listening()
            client = docker.from_env(timeout=120, max_pool_size=64)
        except (docker.errors.DockerException, OSError):
            raise NoEngine(f"no Docker engine answers; {remedy}") from None
        try:
            client.images.get(DEBIAN)
            _answers(REGISTRY)
        except docker.errors.ImageNotFound:
            client.close()
            raise NoEngine(f"no image {DEBIAN}; {remedy}") from None
        except OSError:
            client.close()
            raise NoEngine(f"no registry on {REGISTRY}; {remedy}") from None
        return cls(client, REGISTRY)

    def close(self) -> None:
        self.client.close()

    def gateway(self) -> str:
        """The address at which a container on the default bridge reaches this machine."""
        pools = self.client.networks.get("bridge").attrs["IPAM"]["Config"]
        pool = next(pool for pool in pools if "." in pool["Subnet"])
        # An engine that chose the subnet itself does not always say which address it took.
        return str(pool.get("Gateway") or next(IPv4Network(pool["Subnet"]).hosts()))

    def build(
        self,
        tag: str,
        files: Mapping[str, bytes | Path],
        *,
        args: Mapping[str, str] | None = None,
        target: str | None = None,
    ) -> str:
        """Builds `tag` from a context of `files` (``Dockerfile`` among them); a Path may be a folder.

        Does nothing when an image of that tag was built from the same inputs. Returns `tag`.
        """
        packed = _context(files)
        base = self._ids(args or {})
        inputs = hashlib.sha256(packed + repr((sorted(base.items()), target)).encode()).hexdigest()
        try:
            if self.client.images.get(tag).labels.get(INPUTS) == inputs:
                return tag
        except docker.errors.ImageNotFound:
            pass
        try:
            self.client.images.build(
                fileobj=io.BytesIO(packed),
                custom_context=True,
                tag=tag,
                buildargs=dict(args or {}),
                target=target,
                labels={INPUTS: inputs},
                rm=True,
                forcerm=True,
            )
        except docker.errors.BuildError as fault:
            said = "".join(line.get("stream", "") for line in fault.build_log)
            raise RuntimeError(f"{tag}: {fault.msg}\n{said[-4000:]}") from fault
        return tag

    def push(self, tag: str, repository: str) -> str:
        """Pushes `tag` and returns the reference that pins it: ``host:port/repository@sha256:…``."""
        name = f"{self.registry}/{repository}"
        image = self.client.images.get(tag)
        version = image.id.removeprefix("sha256:")[:16]
        image.tag(name, version)
        for line in self.client.api.push(name, tag=version, stream=True, decode=True):
            if "error" in line:
                raise RuntimeError(f"push of {name}: {line['error']}")
            if "Digest" in line.get("aux", {}):
                return f"{name}@{line['aux']['Digest']}"
        raise RuntimeError(f"push of {name} told no digest")

    def _ids(self, args: Mapping[str, str]) -> dict[str, str]:
        """Build arguments, with the id of each that names a local image: the tag alone may move."""
        found = {DEBIAN: self.client.images.get(DEBIAN).id}
        for name, value in args.items():
            try:
                found[name] = f"{value} {self.client.images.get(value).id}"
            except (docker.errors.ImageNotFound, docker.errors.APIError):
                found[name] = value
        return found


def _listening() -> None:
    """Where nothing listens, the docker package would leave its socket open: look first."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix("unix://"))


def _answers(registry: str) -> None:
    connection = HTTPConnection(registry, timeout=5)
    try:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
    finally:
        connection.close()


def _context(files: Mapping[str, bytes | Path]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, source in sorted(files.items()):
            if isinstance(source, Path):
                tar.add(source, name, filter=_plain)
            else:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(source), 0o644
                tar.addfile(entry, io.BytesIO(source))
    return packed.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Who owns a file here and when it was checked out do not change what is built."""
    if entry.name.endswith("__pycache__"):
        return None
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry
