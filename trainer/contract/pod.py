"""The pod as laptop and supervisor both see it: paths, environment, start signal, host key, states.

Times are absolute unix seconds, spans are seconds. Nothing here is secret: RunPod returns a pod's
environment in clear text.

How a run goes, seen from the laptop:

1. the container log carries ``host_key_line`` at every boot; the highest boot number wins;
2. each file is uploaded to ``inbox/<sha256 of its content>`` (first as ``<sha256>.part``, renamed when
   whole), secrets to ``SECRETS/<NAME>`` (a folder that is there, 0700), and the job, whose ``data``,
   ``eval_data``, ``evaluate`` and ``validation`` are ``inbox/<sha256>``, to ``inbox/job.json.part``; the
   tables that the episodes of the last two name are uploaded like any file, and a model that is a folder at home as an
   archive of it, ``model_name``: it will be found at the same path in the pod;
3. ``inbox/job.json.part`` is renamed to ``inbox/job.json``, last of all: the start signal. Accepted:
   ``Phase("accepted")``. Refused: a ``Warning`` with the reason, and the file is now
   ``inbox/job.rejected.json``; the pod waits on for another;
4. after training comes, with ``keep = best``, the choice among the checkpoints: ``Phase("validate")``, then
   ``Phase("validated")`` or a ``Warning``; then the evaluation that the job asks for: ``Phase("evaluate")``, then
   ``Phase("evaluated")`` or a ``Warning``. ``run/events.jsonl`` and ``run/train.log`` only grow. ``Phase("ready")`` is the last word before the
   grace: whatever can be fetched is in place, and ``manifest.json`` is there if anything is. A run that
   went wrong has said ``Failed`` before it;
5. the laptop fetches and deletes the pod within the grace, or the pod stops itself and keeps its disk.
   Started again, it says ``ready`` at once and waits another grace.

A container that is restarted goes on by itself, without secrets once training has begun. Another pod
on the same volume waits for files, secrets and job anew, and goes on from the last checkpoint.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.contract.command.errors import BadJob

MOUNT = PurePosixPath("/workspace")
HF_HOME = MOUNT / "hf"
SECRETS = PurePosixPath("/dev/shm/sft-secrets")  # noqa: S108 - memory-backed is what it must be
SECRET_NAMES = ("HF_TOKEN",)
"""The secrets that the pod reads; each is a file of that name, 0600, without a newline."""

INBOX = "inbox"
RUN = "run"
JOB = "job.json"
JOB_PART = "job.json.part"
JOB_REJECTED = "job.rejected.json"
STOP = "stop"
"""``inbox/stop``, whatever is in it, ends the training: saved, made a result, ``ready``. Signals to the
trainer are no way to stop it: one that dies is started again."""
PART = ".part"

PUBLIC_KEY = "PUBLIC_KEY"
PREFIX = "SFT_"
EVENTS_FD = "SFT_EVENTS_FD"

STATES = ("booted", "probed", "waiting", "accepted", "running", "saving", "ready", "released")
"""Names of the supervisor's ``Phase`` events. ``released`` says that it is about to ask the API; the
``Released`` event after it, that the API said yes."""
MAY_ACT = "may stop and delete itself"
MAY_STOP = "may stop itself"
MAY_DELETE = "may delete itself, not stop: at its deadline what is on it is lost"
MAY_NOT_ACT = "may not act on itself"
ENDED_BY_PROBE = "ends before training"
"""How the detail of ``Phase("probed")`` begins: what the pod can do at its deadline."""

NO_JOB = "no-job"
"""Reason of ``Released`` when nothing was uploaded in time."""

_HEX = re.compile(r"[0-9a-f]{64}")
_HOST_KEY = re.compile(
    r"sft-launch host-key run=(?P<run>\S+) boot=(?P<boot>\d+) (?P<key>ssh-ed25519 [A-Za-z0-9+/=]+)\s*$"
)


def root(run_id: str) -> PurePosixPath:
    """Return the folder on the mount that holds everything of a run."""
    return MOUNT / "sft" / run_id


def inbox(run_id: str) -> PurePosixPath:
    """Return the folder that uploads go to."""
    return root(run_id) / INBOX


def run_folder(run_id: str) -> PurePosixPath:
    """Return the run folder, which is the trainer's output too."""
    return root(run_id) / RUN


def upload_name(sha256: str) -> str:
    """Return how a job names an uploaded file: relative to ``root``, where the trainer works."""
    return f"{INBOX}/{sha256}"


def uploaded_sha256(name: str) -> str | None:
    """Return the hash in a name that ``upload_name`` made, ``None`` for any other name."""
    folder, _, digest = name.partition("/")
    return digest if folder == INBOX and _HEX.fullmatch(digest) else None


def model_name(sha256: str, path: str) -> str:
    """Return how an uploaded job names a model that is the folder ``path`` at home, here an archive."""
    return f"{upload_name(sha256)}:{path}"


def uploaded_model(name: str) -> tuple[str, str] | None:
    """Return (hash, path) of a name that ``model_name`` made, ``None`` for any other name."""
    upload, _, path = name.partition(":")
    sha256 = uploaded_sha256(upload)
    return (sha256, path) if sha256 is not None and path.startswith("/") else None


class Limits(BaseModel):
    """The longest that each part of a run may take without getting on; beyond it the run is ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    download: int = Field(
        1800, ge=1, description="from the trainer's start to weights being loaded"
    )
    load: int = Field(900, ge=1, description="loading weights; also saving and the reload proof")
    no_step: int = Field(900, ge=1, description="training without a step")
    idle_gpu: int = Field(900, ge=1, description="training with a GPU that does nothing")
    evaluate: int = Field(3600, ge=1, description="evaluating, all of it; choosing too")


class PodSettings(BaseModel):
    """What the pod is told at create, in its environment. A restart does not move the instants."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    finish_by: float = Field(gt=0, description="save what there is and write the manifest")
    gone_by: float = Field(gt=0, description="stop or delete, whatever happens")
    upload_seconds: int = Field(
        900, ge=1, description="for the job to come, from the first boot on"
    )
    grace_seconds: int = Field(900, ge=0, description="for the result to be fetched, then stop")
    on_deadline: Literal["stop", "delete"] = Field(
        "stop", description="at a deadline; a complete result is stopped with, never deleted"
    )
    limits: Limits = Field(default_factory=Limits)

    def to_env(self) -> dict[str, str]:
        """Return the variables for the pod's ``env``: ``SFT_RUN_ID``, ``SFT_LIMIT_NO_STEP``, ..."""
        values = self.model_dump(exclude={"limits"})
        env = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
        limits = self.limits.model_dump()
        return env | {f"{PREFIX}LIMIT_{name.upper()}": str(value) for name, value in limits.items()}

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read back what ``to_env`` gave. Raises ``BadJob`` naming the variables that are wrong."""
        values = _given(cls, env, PREFIX)
        values["limits"] = _given(Limits, env, f"{PREFIX}LIMIT_")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = [f"{_variable(detail['loc'])}: {detail['msg']}" for detail in error.errors()]
            raise BadJob(
                "the pod's environment is not what the launcher sends",
                "start pods with the launcher of the image's version",
                faults=faults,
            ) from None


def _variable(place: tuple[int | str, ...]) -> str:
    """The variable that a field is read from, as ``limits``, ``load``: ``SFT_LIMIT_LOAD``."""
    words = ["limit" if word == "limits" else str(word) for word in place]
    return f"{PREFIX}{'_'.join(words).upper()}"


def _given(model: type[BaseModel], env: Mapping[str, str], prefix: str) -> dict[str, object]:
    names = {name: f"{prefix}{name.upper()}" for name in model.model_fields}
    return {name: env[variable] for name, variable in names.items() if variable in env}


def host_key_line(run_id: str, boot: int, key: str) -> str:
    """Return the line that tells the container log which host key sshd has; ``key`` as in a .pub file."""
    kind, material = key.split()[:2]
    return f"sft-launch host-key run={run_id} boot={boot} {kind} {material}"


def parse_host_key(line: str, run_id: str) -> tuple[int, str] | None:
    """Return (boot number, ``ssh-ed25519 AAAA...``), or ``None`` for any other line or run.

    The line may have something before it (a timestamp), and nothing but white space after it.
    """
    found = _HOST_KEY.search(line)
    if found is None or found["run"] != run_id:
        return None
    return int(found["boot"]), found["key"]
