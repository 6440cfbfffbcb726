"""What can go wrong, each a small record.

An `Answer` changes what one request is told; a `Trouble` befalls a pod. Both are written as JSON
(``{"do": "refuse", "on": "create", "status": 402}``) or as these classes.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Operation = Literal[
    "any", "create", "list", "get", "update", "action", "delete", "logs",
    "catalog", "billing", "registries", "ssh-keys", "network-volumes",
]  # fmt: skip
Right = Literal["get", "stop", "start", "delete"]


class When(BaseModel):
    """Which requests or pods are meant; whatever is left out fits all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: str | None = Field(None, description="id of the card, * and ? as in file names")
    centre: str | None = Field(None, description="among the request's dataCenterIds, or the pod's")
    count_over: int | None = Field(None, description="more cards than this")
    disk_under: int | None = Field(None, description="a container disk smaller than this, in GB")
    name: str | None = Field(None, description="name of the pod, * and ? as in file names")
    action: str | None = Field(None, description="start, stop, restart or terminate")
    key: Literal["account", "pod"] | None = Field(None, description="whose key asks")

    def fits(self, facts: Mapping[str, Any]) -> bool:
        return (
            _like(facts.get("gpu"), self.gpu)
            and _like(facts.get("name"), self.name)
            and (self.centre is None or self.centre in facts.get("centres", ()))
            and (self.count_over is None or facts.get("count", 0) > self.count_over)
            and (self.disk_under is None or facts.get("disk", 0) < self.disk_under)
            and self.action in {None, facts.get("action")}
            and self.key in {None, facts.get("key")}
        )


def _like(value: Any, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(str(value or ""), pattern)


class Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    when: When = When()
    times: int | None = Field(1, description="how often it strikes; null: always")


class Answer(Fault):
    on: Operation = "any"


class Ending(Answer):
    """Takes the place of the reply: at most one of these strikes a request."""


class Refuse(Ending):
    do: Literal["refuse"] = "refuse"
    status: int
    detail: str = ""
    retry_after: int | None = Field(None, description="seconds, for the header of a 429")
    html: bool = Field(False, description="a proxy's HTML page in place of a problem body")


class Capacity(Ending):
    do: Literal["capacity"] = "capacity"
    on: Operation = "create"


class LoseReply(Ending):
    """The request is carried out; its reply is not what it should be."""

    do: Literal["lose_reply"] = "lose_reply"
    how: Literal["500", "cut", "hang"] = "500"


class Drop(Ending):
    """The connection ends before anything is done."""

    do: Literal["drop"] = "drop"


class Delay(Answer):
    do: Literal["delay"] = "delay"
    seconds: float


class Paginate(Answer):
    do: Literal["paginate"] = "paginate"
    on: Operation = "list"
    size: int = 1


class OddCreate(Answer):
    """The reply of create has the shape of the API's own example, which contradicts its prose."""

    do: Literal["odd_create"] = "odd_create"
    on: Operation = "create"


class CutLogs(Answer):
    """A log stream ends without warning after so many lines."""

    do: Literal["cut_logs"] = "cut_logs"
    on: Operation = "logs"
    after_lines: int = 1


class RepeatLogs(Answer):
    """A stream resumed by Last-Event-ID sends so many lines from before it once more."""

    do: Literal["repeat_logs"] = "repeat_logs"
    on: Operation = "logs"
    lines: int = 2


class Trouble(Fault):
    after: float = Field(0.0, description="seconds; for what strikes a running pod, since RUNNING")


class Early404(Trouble):
    do: Literal["early_404"] = "early_404"
    gets: int = 2


class SlowPull(Trouble):
    do: Literal["slow_pull"] = "slow_pull"
    seconds: float


class PullError(Trouble):
    do: Literal["pull_error"] = "pull_error"
    line: str = "failed to register layer: no space left on device"
    attempts: int | None = Field(None, description="how many attempts fail; null: all")


class RunningEarly(Trouble):
    """Reported RUNNING with an SSH port that leads nowhere, before anything has been pulled."""

    do: Literal["running_early"] = "running_early"
    seconds: float


class Broken(Trouble):
    """The pod falls into ERROR."""

    do: Literal["error"] = "error"
    wipe: bool = Field(False, description="the host is lost, and the pod's volume with it")


class Exit(Trouble):
    """The container's PID 1 is killed; the platform starts it again."""

    do: Literal["exit"] = "exit"


class StalePort(Trouble):
    """After stop and start the old public port is reported for so long."""

    do: Literal["stale_port"] = "stale_port"
    seconds: float = 90.0


class OldDriver(Trouble):
    """The host's driver is older than the API says: nvidia-smi in the pod tells."""

    do: Literal["old_driver"] = "old_driver"
    cuda: str = "12.4"


class IdleGpu(Trouble):
    do: Literal["idle_gpu"] = "idle_gpu"


class SmallVolume(Trouble):
    """The pod's persistent mount holds no more than this."""

    do: Literal["small_volume"] = "small_volume"
    megabytes: int


class Impostor(Trouble):
    """The SSH port leads to another machine of the same image, which has a host key of its own."""

    do: Literal["impostor"] = "impostor"


class CutLink(Trouble):
    """Every connection to the pod breaks, and none is accepted for `down` seconds."""

    do: Literal["cut_link"] = "cut_link"
    strikes: int = 1
    every: float = 1.0
    down: float = 0.0


class SlowLink(Trouble):
    do: Literal["slow_link"] = "slow_link"
    rtt: float = Field(description="seconds there and back")


class PodKey(Trouble):
    """What the pod-scoped key may do to its own pod; anything else is answered with `status`."""

    do: Literal["pod_key"] = "pod_key"
    may: list[Right]
    status: int = 403


class SlowRelease(Trouble):
    """A deleted pod goes on, billed and listed, for so long after its 204."""

    do: Literal["slow_release"] = "slow_release"
    seconds: float
