"""SSH to a pod, for tests: no host key is checked, only told."""

import time
from typing import Any, Self

import paramiko


def public(login: paramiko.PKey) -> str:
    """As a line of authorized_keys."""
    return f"{login.get_name()} {login.get_base64()}"


def dial(pod: dict[str, Any], *, patience: float = 10.0) -> paramiko.Transport:
    """A connection over which keys were exchanged; RUNNING does not mean that sshd listens yet.

    Raises:
        paramiko.SSHException: nobody spoke SSH within `patience` seconds.
    """
    direct = pod["ssh"]["direct"]
    end = time.monotonic() + patience
    while True:
        transport = paramiko.Transport((direct["host"], direct["port"]))
        try:
            transport.start_client(timeout=10)
            return transport
        except paramiko.SSHException:
            transport.close()
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)


def host_key(pod: dict[str, Any], *, patience: float = 10.0) -> str:
    """What the SSH port of a pod says it is."""
    with dial(pod, patience=patience) as transport:
        return public(transport.get_remote_server_key())


class Shell:
    """A session on a pod as the API describes it, logged in with `login`."""

    def __init__(self, pod: dict[str, Any], login: paramiko.PKey) -> None:
        self._transport = dial(pod)
        self._transport.auth_publickey(pod["ssh"]["direct"]["username"], login)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def run(self, command: str, *, stdin: str = "") -> tuple[str, int]:
        """What `command` printed, both streams together, and its exit status."""
        channel = self._transport.open_session()
        channel.set_combine_stderr(True)
        channel.exec_command(command)
        channel.sendall(stdin.encode())
        channel.shutdown_write()
        said = channel.makefile().read().decode()
        return said, channel.recv_exit_status()
