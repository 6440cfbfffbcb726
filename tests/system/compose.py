"""Whichever compose this machine has, on a copy of compose.yaml in a folder of its own."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class NoCompose(Exception):
    """Neither generation of compose is installed."""


def command() -> list[str]:
    """``docker compose`` where there is one, else ``docker-compose``. Raises NoCompose."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]):
            asked = subprocess.run([*words, "version"], capture_output=True, check=False)
            if asked.returncode == 0:
                return words
    raise NoCompose("no docker compose here; run tests/system/setup.sh as root")


@dataclass(frozen=True)
class Compose:
    """A project: ``folder`` is the user's, ``image`` what its services run."""

    words: list[str]
    folder: Path
    image: str
    name: str

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One command of compose, with these words added to the environment."""
        return subprocess.run(
            [*self.words, "-p", self.name, *arguments],
            cwd=self.folder,
            env={**os.environ, "SFT_IMAGE": self.image, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def ran(self, *arguments: str, **environment: str) -> str:
        """What it printed, once it has ended well."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr + self.run("logs").stdout
        return done.stdout

    def container(self, service: str) -> str:
        return self.ran("ps", "-q", service).strip()

    def inspected(self, service: str) -> dict[str, object]:
        asked = ["docker", "inspect", self.container(service)]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        found: dict[str, object] = json.loads(told)[0]
        return found
