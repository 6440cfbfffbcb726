"""SSH to one pod: only to the host whose key is pinned, with a key made for this run.

Everything is a shell command on a separate channel, files too: that streams without a round trip for
each piece, and reports a full disk as such, where SFTP reports "Failure" or, pipelined, nothing.
"""

import base64
import binascii
import errno
import logging
import os
import select
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

from launcher.errors import ConnectionLost, HostKeyChanged, PodRefused
from trainer.contract.command.errors import Interrupted, NotFound, ResultRejected

if TYPE_CHECKING:
    import paramiko

KEEPALIVE = 15
TIMEOUT = 30.0
GLANCE = 0.2  # seconds between two looks at whether to go on connecting
HASHING = 600.0
# What may be under way unconfirmed. The usual 2 MiB cap a link of 100 ms at 20 MB/s.
WINDOW = 1 << 24
CHUNK = 1 << 20
SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
MISSING, SHORTER = 66, 67
FULL = "No space left on device"


def make_key(path: Path) -> str:
    """Write a new ed25519 private key to ``path`` (0600, must not exist); return the public line."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode("ascii")


def connect(
    host: str,
    port: int,
    *,
    user: str,
    key: Path,
    host_key: str,
    timeout: float = TIMEOUT,
    stop: Callable[[], bool] = lambda: False,
) -> "Session":
    """Connect to the sshd whose public key is ``host_key`` (an OpenSSH line: type, base64, comment).

    Raises ``HostKeyChanged`` before anything is sent when another key answers,
    ``ConnectionLost`` when none does, ``PodRefused`` when ``key`` is not authorised there,
    ``Interrupted`` soon after ``stop`` became true.
    """
    import paramiko

    logging.getLogger("paramiko").addHandler(logging.NullHandler())  # else it writes to stderr
    kind, expected = _parse(host_key)
    try:
        identity = paramiko.Ed25519Key.from_private_key_file(str(key))
    except FileNotFoundError:
        raise NotFound(
            f"this run's SSH key {key} is missing",
            "without it no connection to the pod is possible",
        ) from None
    where = f"{host}:{port}"
    try:
        sock = _open(host, port, timeout, stop)
    except OSError as error:
        raise ConnectionLost(f"SSH to {where}: {_said(error)}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    try:
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = timeout
        transport.get_security_options().key_types = SIGNATURES.get(kind, (kind,))
        _finish(lambda done: transport.start_client(event=done), transport, timeout, stop)
        if transport.get_remote_server_key().asbytes() != expected:
            raise _changed(where)
        _finish(
            lambda done: transport.auth_publickey(user, identity, event=done),
            transport,
            timeout,
            stop,
        )
        if not transport.is_authenticated():
            raise paramiko.AuthenticationException("Authentication failed.")
        transport.set_keepalive(KEEPALIVE)
    except BaseException as error:
        transport.close()
        if isinstance(error, paramiko.AuthenticationException) and not _was_cut(error):
            raise PodRefused(
                f"SSH to {where}: the pod does not accept this run's key for {user}"
            ) from None
        if isinstance(error, paramiko.SSHException) and "no acceptable host key" in str(error):
            raise _changed(where) from None
        if isinstance(error, paramiko.SSHException | EOFError | OSError):
            raise ConnectionLost(f"SSH to {where}: {_said(error)}") from None
        raise
    return Session(transport)


def _open(host: str, port: int, timeout: float, stop: Callable[[], bool]) -> socket.socket:
    """A TCP connection to the first address of ``host`` that answers."""
    last: OSError = TimeoutError("timed out")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            code = sock.connect_ex(address)
            end = time.monotonic() + timeout
            while code == errno.EINPROGRESS and not select.select([], [sock], [], GLANCE)[1]:
                _must_go_on(stop)
                if time.monotonic() > end:
                    raise TimeoutError("timed out")
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
            sock.settimeout(timeout)
            return sock
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            last = error
    raise last


def _finish(
    begin: Callable[[threading.Event], object],
    transport: "paramiko.Transport",
    timeout: float,
    stop: Callable[[], bool],
) -> None:
    """Wait for a step of the login that paramiko takes in its own thread; raise what ended it."""
    done = threading.Event()
    begin(done)
    end = time.monotonic() + timeout
    while not done.wait(GLANCE):
        _must_go_on(stop)
        if (error := transport.get_exception()) is not None:
            raise error
        if not transport.is_active():
            raise EOFError("the connection was closed")
        if time.monotonic() > end:
            raise TimeoutError("timed out")
    if (error := transport.get_exception()) is not None:
        raise error


def _must_go_on(stop: Callable[[], bool]) -> None:
    if stop():
        raise Interrupted("interrupted while connecting")


def _was_cut(error: Exception) -> bool:
    """Whether the link ended in the login: paramiko calls that a failed authentication too."""
    return any(sign in str(error) for sign in ("transport shut down", "timeout"))


def _parse(host_key: str) -> tuple[str, bytes]:
    known = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384")
    words = host_key.split()
    try:
        blob = base64.b64decode(words[1], validate=True)
        kind = words[0]
        named = blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")
    except (IndexError, binascii.Error, UnicodeDecodeError):
        kind, blob, named = "", b"", "-"
    if kind not in known or kind != named:
        raise HostKeyChanged(
            f"invalid SSH host key: {host_key[:80]!r}",
            "expected a line such as: ssh-ed25519 AAAA...; without it no connection is made",
        )
    return kind, blob


def _changed(where: str) -> HostKeyChanged:
    return HostKeyChanged(
        f"SSH to {where}: the host key differs from the one in the pod's log",
        "nothing was sent; a restarted pod prints its new key in its log, any other key belongs to another machine",
    )


@dataclass(frozen=True)
class CommandResult:
    """How a command in the pod ended."""

    code: int
    stdout: bytes
    stderr: bytes


class Session:
    """One authenticated connection; a context manager, usable from several threads.

    Every method raises ``ConnectionLost`` when the connection is gone or silent for half a minute,
    and ``PodRefused``, with the pod's message, when the pod refuses.
    """

    def __init__(self, transport: "paramiko.Transport") -> None:
        self._transport = transport

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def run(
        self, command: str, *, stdin: Iterable[bytes] = (), timeout: float = TIMEOUT
    ) -> CommandResult:
        """Run a shell command to its end. Nothing heard for ``timeout`` seconds counts as a lost link,
        and so does an end without an exit status (a command that was killed).
        """
        with self._wire(), self._channel(timeout) as channel:
            channel.exec_command(command)
            errors: list[bytes] = []
            reader = threading.Thread(target=_drain, args=(channel, errors), daemon=True)
            reader.start()
            for piece in stdin:
                try:
                    channel.sendall(piece)
                except TimeoutError:
                    raise
                except OSError:  # it ended without reading all; its exit code and stderr say why
                    break
            channel.shutdown_write()
            output = b"".join(iter(lambda: channel.recv(CHUNK), b""))
            reader.join(timeout)
            return CommandResult(_exit_code(channel, timeout), output, b"".join(errors))

    def stream(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a file from ``offset`` to its present end, as they come; complete if it ends.

        ``NotFound`` when there is no such file, ``ResultRejected`` when it is shorter than ``offset``.
        """
        name = shlex.quote(path)
        command = (
            f"size=$(stat -L -c %s -- {name}) || exit {MISSING}; "
            f'[ "$size" -ge {offset} ] || exit {SHORTER}; exec tail -c +{offset + 1} -- {name}'
        )
        with self._wire(), self._channel(TIMEOUT) as channel:
            channel.exec_command(command)
            while data := channel.recv(CHUNK):
                yield data
            code = _exit_code(channel, TIMEOUT)
            if code == MISSING:
                raise NotFound(f"the pod has no {path}")
            if code == SHORTER:
                raise ResultRejected(
                    f"{path} in the pod is shorter than the {offset} bytes downloaded"
                )
            if code != 0:
                raise PodRefused(f"the pod cannot read {path}: {_text(channel.recv_stderr(CHUNK))}")

    def size(self, path: str) -> int | None:
        """The size of a file in bytes; None when the file is missing."""
        done = self.run(f"stat -L -c %s -- {shlex.quote(path)}")
        return int(done.stdout) if done.code == 0 else None

    def send(self, path: str, pieces: Iterable[bytes], *, append: bool = False) -> None:
        """Write ``pieces`` to a file, readable by the pod's user only; its folder is made if needed."""
        folder, name = shlex.quote(str(PurePosixPath(path).parent)), shlex.quote(path)
        arrow = ">>" if append else ">"
        self._do(f"umask 077; mkdir -p -- {folder} && cat {arrow} {name}", f"write {path}", pieces)

    def put(self, path: str, data: bytes) -> None:
        """Write a small file, whole or not at all."""
        self.send(f"{path}.part", [data])
        self.rename(f"{path}.part", path)

    def rename(self, path: str, to: str) -> None:
        """Rename within the pod; a file at ``to`` is replaced."""
        self._do(f"mv -fT -- {shlex.quote(path)} {shlex.quote(to)}", f"rename {path} to {to}")

    def sha256(self, path: str) -> str:
        """The hash of a file, computed in the pod."""
        done = self._do(f"sha256sum < {shlex.quote(path)}", f"hash {path}", timeout=HASHING)
        return done.stdout[:64].decode("ascii", errors="replace")

    def _do(
        self, command: str, what: str, stdin: Iterable[bytes] = (), *, timeout: float = TIMEOUT
    ) -> CommandResult:
        done = self.run(command, stdin=stdin, timeout=timeout)
        if done.code != 0:
            said = _text(done.stderr)
            hint = "its disk is full: rent a larger one with --mount" if FULL in said else ""
            raise PodRefused(f"the pod cannot {what}: {said}", hint)
        return done

    @contextmanager
    def _channel(self, timeout: float) -> Iterator["paramiko.Channel"]:
        channel = self._transport.open_session(window_size=WINDOW, timeout=TIMEOUT)
        channel.settimeout(timeout)
        try:
            yield channel
        finally:
            channel.close()

    @contextmanager
    def _wire(self) -> Iterator[None]:
        import paramiko

        try:
            yield
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise ConnectionLost(f"the SSH connection broke: {_said(error)}") from None


def _drain(channel: "paramiko.Channel", into: list[bytes]) -> None:
    try:
        into.extend(iter(lambda: channel.recv_stderr(CHUNK), b""))
    except OSError:
        return  # the reader of stdout gets the same error


def _exit_code(channel: "paramiko.Channel", timeout: float) -> int:
    # A broken connection ends a channel's output just as a finished command does: only the exit
    # status distinguishes them.
    if not channel.status_event.wait(timeout) or channel.exit_status < 0:
        raise ConnectionLost("the SSH connection broke, or a command was killed in the pod")
    return channel.exit_status


def _said(error: BaseException) -> str:
    silent = "no answer in time" if isinstance(error, TimeoutError) else "closed by the other end"
    return str(error) or silent


def _text(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
