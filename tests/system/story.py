"""A run at the emulator as its user sees it, and the ledger that must be right after every one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.system.emulator.pod import Pod
from tests.system.emulator.server import Emulator
from tests.system.engine import Engine
from tests.system.laptop import Command, Laptop
from trainer.contract import events
from trainer.contract import pod as border

HOURS = 0.5
STEPS = 8
PYTHON = "/opt/sft/venv/bin/python"
CHECK = """
import pathlib, sys
from trainer.contract import manifest
manifest.verify(pathlib.Path(sys.argv[1]))
"""
FETCHING = 120.0
"""The most seconds for which a stopped pod may be started, to be fetched from."""
Adapter = Literal["home", "stopped pod", "none"]


@dataclass
class Story:
    runpod: Emulator
    engine: Engine
    laptop: Laptop
    image: str

    def train(
        self,
        *more: str,
        run: str = "r1",
        steps: int = STEPS,
        hours: float = HOURS,
        altered: Mapping[str, Any] | None = None,
    ) -> Command:
        """What a user types, but for the name of the run and the number of its steps."""
        return self.laptop.launch(
            *("train", "--gpu", "A10G", "--image", self.image, "--max-hours", str(hours)),
            *("--grace", "1", "--recipe", "tiny", "--model", "bundled:tiny"),
            *("--data", "rows.jsonl", "--run-id", run, "--set", f"max_steps={steps}", *more),
            altered=altered,
        )

    def created(self) -> list[int | None]:
        """What each create was answered."""
        return [one.status for one in self.runpod.requests if one.operation == "create"]

    def pod(self, run: str = "r1") -> Pod:
        """The one pod that was ever rented for a run."""
        pods = self.runpod.pods.all.values()
        (pod,) = (pod for pod in pods if pod.settings.env["SFT_RUN_ID"] == run)
        return pod

    def whole(self, *, run: str = "r1", steps: int = STEPS) -> None:
        """The adapter came home as its manifest says, and every event once."""
        proof = self.laptop.result(run)
        assert proof.complete
        assert "adapter/adapter_model.safetensors" in proof.files
        assert self.laptop.steps(run)[-1] == steps
        seen = self.laptop.events(run)
        assert [one.seq for one in seen] == list(range(len(seen)))
        assert any(isinstance(one, events.Done) for one in seen)

    def ledger(
        self,
        ended: Command,
        *,
        code: int = 0,
        says: Sequence[str] = (),
        adapter: Adapter = "home",
        run: str = "r1",
        hours: float = HOURS,
    ) -> None:
        """What must hold after a command, however it went.

        The exit code and the message are right; the adapter is where that says, each byte of it; no
        card was billed past the pod's deadline, for longer than the cap, or is billed on.
        """
        assert ended.ended() == code, ended.said
        pod = self.pod(run)
        for words in says:
            assert words in ended.said
        assert "Traceback" not in ended.said
        self._adapter(ended, pod, adapter, run)
        self._bill(pod, hours)

    def ledger_of_all(self, ended: Command, *, run: str = "r1", hours: float = HOURS) -> None:
        """The same for a run that may have had several pods, and is at home."""
        assert ended.ended() == 0, ended.said
        assert "Traceback" not in ended.said
        for pod in list(self.runpod.pods.all.values()):
            self._gone(pod)
            self._bill(pod, hours)
        assert "adapter/adapter_model.safetensors" in self.laptop.result(run).files

    def _gone(self, pod: Pod) -> None:
        pod.life.thread.join(20)
        assert pod.status == "TERMINATED"
        assert self.engine.client.containers.list(all=True, filters={"name": pod.id}) == []
        assert self.engine.client.volumes.list(filters={"name": pod.id}) == []

    def _adapter(self, ended: Command, pod: Pod, adapter: Adapter, run: str) -> None:
        if adapter == "stopped pod":
            assert pod.status == "EXITED"
            assert f"pod {pod.id}" in ended.said
            assert f"launch fetch {run}" in ended.said
            self._verify_on(pod, run)
            return
        self._gone(pod)
        if adapter == "home":
            assert "adapter/adapter_model.safetensors" in self.laptop.result(run).files
        else:
            assert not (self.laptop.run(run) / "manifest.json").exists()

    def _verify_on(self, pod: Pod, run: str) -> None:
        """Compares by hash, in a container with nothing but the pod's volume."""
        self.engine.client.containers.run(
            self.image,
            ["-c", CHECK, str(border.run_folder(run))],
            entrypoint=[PYTHON],
            environment={"PYTHONPATH": "/opt/sft"},
            volumes={f"runpod-{pod.id}": {"bind": str(border.MOUNT), "mode": "ro"}},
            network_mode="none",
            remove=True,
        )

    def _bill(self, pod: Pod, hours: float) -> None:
        billing, gone_by = self.runpod.billing, float(pod.settings.env["SFT_GONE_BY"])
        billed = billing.gpu_seconds(pod.id)
        assert 0 < billed <= hours * 3600
        for start, end in billing.gpu_spans(pod.id):
            assert end is not None, "a card is billed on"
            assert end <= (gone_by if start < gone_by else start + FETCHING)
        self.runpod.clock.advance(3600)
        assert billing.gpu_seconds(pod.id) == billed


def rows(count: int, *, answer: str = "submit(2)") -> str:
    """A data set of so many equal rows."""
    talk = [("user", "what is 1 + 1?"), ("assistant", answer)]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    return f"{json.dumps(row)}\n" * count
