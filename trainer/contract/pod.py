"""The interface between launcher and pod: paths, environment, start signal, host key, states.

Times are absolute unix seconds, durations are seconds. Nothing here is secret: RunPod returns a pod's
environment in clear text.

A run, seen from the launcher:

1. The container log has ``host_key_line`` at every boot; the highest boot number counts.
2. The launcher uploads each file to ``inbox/<sha256 of its content>`` (first as ``<sha256>.part``, renamed
   when whole), secrets to ``SECRETS/<NAME>`` (the folder exists, 0700), and the job to
   ``inbox/job.json.part``; its ``data``, ``eval_data``, ``evaluate`` and ``validation`` are
   ``inbox/<sha256>``. Tables that the episodes name are uploaded like any file. A model folder is uploaded
   as an archive, ``model_name``; the pod shows it at the same path.
3. The launcher renames ``inbox/job.json.part`` to ``inbox/job.json`` last: the start signal. The pod accepts
   it with ``Phase("accepted")``, or rejects it with a ``Warning``, renames it to
   ``inbox/job.rejected.json`` and waits for another.
4. After training: with ``keep = best`` the choice of a checkpoint (``Phase("validate")``, then
   ``Phase("validated")`` or a ``Warning``); then the job's evaluation (``Phase("evaluate")``, then
   ``Phase("evaluated")`` or a ``Warning``). ``run/events.jsonl`` and ``run/train.log`` only grow.
   ``Phase("ready")`` comes last: everything can be downloaded, and ``manifest.json`` exists if there is a
   result. A failed run has written ``Failed`` before it.
5. The launcher downloads the result and deletes the pod within the grace; else the pod stops itself and
   keeps its disk. Started again, it writes ``ready`` at once and waits another grace.

A restarted container continues by itself, without secrets once training has started. Another pod on the
same volume waits for new files, secrets and job, and continues from the last checkpoint.
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer.contract.command.errors import BadJob

MOUNT = PurePosixPath("/workspace")
HF_HOME = MOUNT / "hf"
SECRETS = PurePosixPath("/dev/shm/sft-secrets")  # noqa: S108 - it must be in memory
SECRET_NAMES = ("HF_TOKEN",)
"""The secrets that the pod reads: a file of that name each, 0600, without a newline."""

INBOX = "inbox"
RUN = "run"
JOB = "job.json"
JOB_PART = "job.json.part"
JOB_REJECTED = "job.rejected.json"
STOP = "stop"
"""The file ``inbox/stop`` ends the training: the pod saves a result and writes ``ready``. A signal to the
trainer does not: the pod starts a trainer that died again."""
PART = ".part"

PUBLIC_KEY = "PUBLIC_KEY"
PREFIX = "SFT_"
EVENTS_FD = "SFT_EVENTS_FD"

STATES = ("booted", "probed", "waiting", "accepted", "running", "saving", "ready", "released")
"""Names of the supervisor's ``Phase`` events. ``released``: it now requests to stop or delete the pod; the
``Released`` event after it: the API has accepted."""
MAY_ACT = "may stop and delete itself"
MAY_STOP = "may stop itself"
MAY_DELETE = "may delete itself, not stop: at its deadline what is on it is lost"
MAY_NOT_ACT = "cannot stop or delete itself"
ENDED_BY_PROBE = "ends before training"
"""How the detail of ``Phase("probed")`` begins: what the pod can do at its deadline."""

NO_JOB = "no-job"
"""Reason of ``Released`` when nothing was uploaded in time."""

_HEX = re.compile(r"[0-9a-f]{64}")
_HOST_KEY = re.compile(
    r"sft-launch host-key run=(?P<run>\S+) boot=(?P<boot>\d+) (?P<key>ssh-ed25519 [A-Za-z0-9+/=]+)\s*$"
)


def root(run_id: str) -> PurePosixPath:
    """Return the folder of a run on the mount."""
    return MOUNT / "sft" / run_id


def inbox(run_id: str) -> PurePosixPath:
    """Return the folder for uploads."""
    return root(run_id) / INBOX


def run_folder(run_id: str) -> PurePosixPath:
    """Return the run folder, the trainer's output."""
    return root(run_id) / RUN


def upload_name(sha256: str) -> str:
    """Return a job's name for an uploaded file: its path relative to ``root``, the working directory."""
    return f"{INBOX}/{sha256}"


def uploaded_sha256(name: str) -> str | None:
    """Return the hash in a name made by ``upload_name``; None for any other name."""
    folder, _, digest = name.partition("/")
    return digest if folder == INBOX and _HEX.fullmatch(digest) else None


def model_name(sha256: str, path: str) -> str:
    """Return an uploaded job's name for a model: its archive, and its folder on the user's machine."""
    return f"{upload_name(sha256)}:{path}"


def uploaded_model(name: str) -> tuple[str, str] | None:
    """Return (hash, path) of a name made by ``model_name``; None for any other name."""
    upload, _, path = name.partition(":")
    sha256 = uploaded_sha256(upload)
    return (sha256, path) if sha256 is not None and path.startswith("/") else None


class Limits(BaseModel):
    """Seconds that each part of a run may take without progress; then the pod ends the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    download: int = Field(1800, ge=1, description="from the trainer's start until it loads weights")
    load: int = Field(900, ge=1, description="loading weights; also saving and the reload proof")
    no_step: int = Field(900, ge=1, description="training without a step")
    idle_gpu: int = Field(900, ge=1, description="training with an idle GPU")
    evaluate: int = Field(
        3600, ge=1, description="the whole evaluation; also the choice of a checkpoint"
    )


class PodSettings(BaseModel):
    """The settings in a new pod's environment. A restart does not change its deadlines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    finish_by: float = Field(gt=0, description="deadline to save a result and write the manifest")
    gone_by: float = Field(gt=0, description="deadline to stop or delete, in every case")
    upload_seconds: int = Field(
        900, ge=1, description="for the upload of the job, from the first boot"
    )
    grace_seconds: int = Field(
        900,
        ge=0,
        description="for the download of the result, longer while one is running; then the pod stops",
    )
    on_deadline: Literal["stop", "delete"] = Field(
        "stop", description="at a deadline; a pod with a complete result is stopped, never deleted"
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
        """Read the variables of ``to_env``. Raises ``BadJob``, which names the invalid ones."""
        values = _given(cls, env, PREFIX)
        values["limits"] = _given(Limits, env, f"{PREFIX}LIMIT_")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = []
            for detail in error.errors():
                words = ["limit" if word == "limits" else str(word) for word in detail["loc"]]
                faults.append(f"{PREFIX}{'_'.join(words).upper()}: {detail['msg']}")
            raise BadJob(
                "the pod's environment is not the one that the launcher sends",
                "start pods with the launcher of the image's version",
                faults=faults,
            ) from None


def _given(model: type[BaseModel], env: Mapping[str, str], prefix: str) -> dict[str, object]:
    names = {name: f"{prefix}{name.upper()}" for name in model.model_fields}
    return {name: env[variable] for name, variable in names.items() if variable in env}


def host_key_line(run_id: str, boot: int, key: str) -> str:
    """Return the container log's line with sshd's host key; ``key`` as in a .pub file."""
    kind, material = key.split()[:2]
    return f"sft-launch host-key run={run_id} boot={boot} {kind} {material}"


def parse_host_key(line: str, run_id: str) -> tuple[int, str] | None:
    """Return (boot number, ``ssh-ed25519 AAAA...``); None for any other line or run.

    The line may have a prefix (a timestamp), and only white space after it.
    """
    found = _HOST_KEY.search(line)
    if found is None or found["run"] != run_id:
        return None
    return int(found["boot"]), found["key"]
