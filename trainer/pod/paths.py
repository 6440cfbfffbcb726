"""The paths in a pod, and the environment of the supervisor's children."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.contract import pod
from trainer.pod.sshd import Sshd
from trainer.result import evaluation


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths in a pod; ``trainer`` and ``evaluator`` are the commands that the supervisor starts."""

    root: Path
    hf: Path
    secrets: Path
    sshd: Sshd
    trainer: tuple[str, ...] = (sys.executable, "-P", "-m", "trainer")
    evaluator: tuple[str, ...] = evaluation.COMMAND

    @property
    def run(self) -> Path:
        return self.root / pod.RUN

    @classmethod
    def of_pod(cls, run_id: str) -> "Paths":
        root = Path(pod.root(run_id))
        command = ("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config")
        sshd = Sshd(root / "ssh", Path("/run/sft"), command)
        return cls(root, Path(pod.HF_HOME), Path(pod.SECRETS), sshd)


def child_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return ``env`` without what only the supervisor needs: the pod's key and its settings."""
    hidden = ("RUNPOD_", pod.PREFIX)
    kept = {k: v for k, v in env.items() if not k.startswith(hidden) and k != pod.PUBLIC_KEY}
    package = str(Path(__file__).resolve().parents[2])
    path = [package, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}
