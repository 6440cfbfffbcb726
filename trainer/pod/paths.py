"""Where a pod's things are, and what of its environment its children see."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.contract import pod
from trainer.pod.sshd import Door
from trainer.result import evaluation


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are; ``trainer`` starts the trainer, ``evaluator`` the evaluation."""

    root: Path
    hf: Path
    secrets: Path
    door: Door
    trainer: tuple[str, ...] = (sys.executable, "-P", "-m", "trainer")
    evaluator: tuple[str, ...] = evaluation.COMMAND

    @property
    def run(self) -> Path:
        return self.root / pod.RUN

    @classmethod
    def of_pod(cls, run_id: str) -> "Places":
        root = Path(pod.root(run_id))
        sshd = ("/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config")
        return cls(
            root=root,
            hf=Path(pod.HF_HOME),
            secrets=Path(pod.SECRETS),
            door=Door(root / "ssh", Path("/run/sft"), sshd),
        )


def child_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return ``env`` without what is the supervisor's alone: the pod's key and its settings."""
    ours = ("RUNPOD_", pod.PREFIX)
    kept = {k: v for k, v in env.items() if not k.startswith(ours) and k != pod.PUBLIC_KEY}
    package = str(Path(__file__).resolve().parents[2])
    path = [package, *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}
