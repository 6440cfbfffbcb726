"""The pod's door: a host key that stays on the mount, one key that may enter, and sshd's command."""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trainer.contract.command.errors import Fault
from trainer.pod.system import Outside

KEY = "ssh_host_ed25519_key"
AUTHORIZED = "authorized_keys"
MADE_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Door:
    """``kept`` lies on the mount; ``used`` in the container, where sshd's demands on modes hold.

    ``command`` starts sshd in the foreground; its configuration names the files in ``used``.
    """

    kept: Path
    used: Path
    command: Sequence[str]

    def prepare(self, public_key: str, *, outside: Outside, env: Mapping[str, str]) -> str:
        """Make or bring back the host key, and let ``public_key`` in. Returns the host key's .pub line.

        Raises ``Fault`` when there can be no sshd.
        """
        if not public_key.strip():
            raise Fault("PUBLIC_KEY is not set")
        try:
            if not (self.kept / KEY).exists():
                self._make_key(outside, env)
            self.used.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._put(KEY, (self.kept / KEY).read_bytes())
            self._put(AUTHORIZED, public_key.strip().encode() + b"\n")
            return (self.kept / f"{KEY}.pub").read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Fault(f"sshd cannot be prepared: {error}") from None

    def _make_key(self, outside: Outside, env: Mapping[str, str]) -> None:
        # In a folder of its own first: a key and its .pub come together or not at all.
        new = self.kept.with_name(f".{self.kept.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700, parents=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(new / KEY)]
        child = outside.start(command, env=env, cwd=new)
        until = outside.now() + MADE_WITHIN
        while (code := child.poll()) is None and outside.now() < until:
            outside.wait(0.02)
        if code != 0:
            child.kill()
            raise Fault(f"ssh-keygen ended with {code}")
        shutil.rmtree(self.kept, ignore_errors=True)
        new.rename(self.kept)

    def _put(self, name: str, content: bytes) -> None:
        path = self.used / name
        with suppress(FileNotFoundError):
            path.unlink()
        path.touch(mode=0o600)
        path.write_bytes(content)
