"""SSH access to the pod: a host key that stays on the mount, one authorized key, and sshd's command."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.command.errors import Fault
from trainer.pod.system import System

KEY = "ssh_host_ed25519_key"
AUTHORIZED = "authorized_keys"
KEYGEN_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sshd:
    """``on_mount`` keeps the host key; ``in_container`` holds the files that sshd reads: it checks their modes.

    ``command`` starts sshd in the foreground; its configuration names ``port`` and the files in
    ``in_container``.
    """

    on_mount: Path
    in_container: Path
    command: Sequence[str]
    port: int = 22

    def prepare(self, public_key: str, *, system: System, env: Mapping[str, str]) -> str:
        """Make or restore the host key, and authorize ``public_key``. Return the host key's .pub line.

        Raises ``Fault`` if sshd cannot be started.
        """
        if not public_key.strip():
            raise Fault("PUBLIC_KEY is not set")
        try:
            if not (self.on_mount / KEY).exists():
                self._make_key(system, env)
            self.in_container.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(KEY, (self.on_mount / KEY).read_bytes())
            self._write(AUTHORIZED, public_key.strip().encode() + b"\n")
            return (self.on_mount / f"{KEY}.pub").read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Fault(f"sshd cannot be prepared: {error}") from None

    def _make_key(self, system: System, env: Mapping[str, str]) -> None:
        # In a new folder first, so that a key and its .pub appear together.
        new = self.on_mount.with_name(f".{self.on_mount.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700, parents=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new / KEY)]
        child = system.start(command, env=env, cwd=new)
        until = system.now() + KEYGEN_SECONDS
        while (code := child.poll()) is None and system.now() < until:
            system.wait(0.02)
        if code != 0:
            child.kill()
            raise Fault(f"ssh-keygen ended with {code}")
        shutil.rmtree(self.on_mount, ignore_errors=True)
        new.rename(self.on_mount)

    def _write(self, name: str, content: bytes) -> None:
        path = self.in_container / name
        with suppress(FileNotFoundError):
            path.unlink()
        path.touch(mode=0o600)
        path.write_bytes(content)
