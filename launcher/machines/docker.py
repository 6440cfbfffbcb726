"""The local Docker engine: the trainer in a container of the image that pods run.

Run folder, data and weights are mounted at the paths they have here, so that the job means the same
inside. The container runs as this user, who owns the files it leaves. It appends to ``train.log`` and
holds the lock of ``.trainer.lock`` by itself, so any launcher can find and follow it.
"""

import hashlib
import os
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher import docker_engine
from launcher.context import Context
from launcher.image import build
from launcher.quote.compare_gpus import local_table
from launcher.runs.run_folder import Log, Run, is_locked
from launcher.runs.run_state import RunState
from launcher.secrets import HUGGING_FACE, find
from trainer.contract import episodes, events
from trainer.contract.command.errors import Fault, Locked, noted
from trainer.contract.command.secrets import Secret
from trainer.contract.job import Job
from trainer.contract.rows import Rows

FOLDER = "sft.run.folder"
SHARED_MEMORY = "1g"
SECRETS = "/run/sft-secrets"
TOKEN = f"{SECRETS}/{HUGGING_FACE}"
SIGNALLED = 128
INTERRUPTED = 130  # the trainer's own, not a signal's
REMOVED = {404, 409}  # another program has removed the container, or is removing it


def name_of(run: Run) -> str:
    """The container's name, derived from the run alone. Two folders may hold runs of one id."""
    where = hashlib.sha256(str(run.folder).encode()).hexdigest()[:8]
    return f"sft-{run.id}-{where}"


@dataclass
class Container:
    """A trainer in a container; ``handle`` is the docker package's."""

    handle: Any
    lost: str | None = field(default=None, init=False)
    _ended: int | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        return int(self.handle.attrs["State"].get("Pid") or 0) or None

    def prepare(self, job: Job, *, resume: bool) -> None:
        """It trains as soon as it is started."""

    def alive(self) -> bool:
        return self.exit_code() is None and self.lost is None

    def exit_code(self) -> int | None:
        """Negative when a signal ended it. What has ended is removed."""
        import docker.errors

        if self._ended is None and self.lost is None:
            with docker_engine.explained("the container cannot be watched"):
                try:
                    self.handle.reload()
                    state = self.handle.attrs["State"]
                    if state["Status"] in {"exited", "dead"}:
                        self.handle.remove(force=True)
                        code = int(state["ExitCode"])
                        signalled = code > SIGNALLED and code != INTERRUPTED
                        self._ended = SIGNALLED - code if signalled else code
                except docker.errors.APIError as error:
                    if error.status_code not in REMOVED:
                        raise
                    self.lost = f"because its container {self.handle.name} was removed"
        return self._ended

    def stop(self) -> None:
        self._signal("SIGTERM")

    def kill(self) -> None:
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        import docker.errors

        # It may have ended by itself just now.
        with suppress(docker.errors.APIError):
            self.handle.kill(signal=name)

    def leave(self) -> str | None:
        return None

    def fetch(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is rented; the container is removed as soon as it is seen to have ended."""


class Docker:
    """The engine that the ``docker`` command speaks to."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._client: Any = None

    @property
    def client(self) -> Any:
        if self._client is None:
            self._client = self.context.world.docker()
        return self._client

    def missing(self, job: Job) -> list[Fault]:
        found: list[Fault] = []
        with noted(found):
            if self.context.settings.image is None:
                self._recipe()
            gpus = (
                "with its GPUs"
                if docker_engine.has_nvidia(self.client)
                else "on its CPU: no NVIDIA runtime"
            )
            self.context.view.say(f"training in a container of the local Docker engine, {gpus}")
        return found

    def offer(self, run: Run, job: Job, data: Rows, past: RunState) -> dict[str, Any]:
        return {}

    def preview(
        self, run: Run, job: Job, data: Rows | None
    ) -> tuple[list[dict[str, Any]], list[Fault]]:
        for text in local_table(job, data, world=self.context.world):
            self.context.view.say(text)
        chosen = self.context.settings.image
        found: list[Fault] = []
        requests = []
        with noted(found):
            image = chosen or f"{build.LOCAL}:{self._recipe().tag}"
            requests = [{"image": image, **self._how(run, job, resume=False)}]
        return requests, found

    def start(self, run: Run, job: Job, log: Log, *, resume: bool) -> Container:
        if is_locked(run.trainer_lock):
            raise Locked(
                f"a trainer is still running in {run.folder}",
                f"continue it with: launch train --resume {run.id}",
            )
        reference = self._image()
        how = self._how(run, job, resume=resume)
        if "HF_HOME" in how["environment"]:  # else the engine makes it, as root's
            Path(how["environment"]["HF_HOME"]).mkdir(parents=True, exist_ok=True)
        if docker_engine.has_nvidia(self.client):
            from docker.types import DeviceRequest

            how["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        _, offset = events.read(run.events)
        with log.effect("start", offset=offset, resume=resume, container=how["name"]) as outcome:
            with docker_engine.explained("the container cannot be started"):
                handle = self.client.containers.create(reference, **how)
                try:
                    handle.start()
                    self._bring_token(handle, job)
                except BaseException:
                    handle.remove(force=True)
                    raise
                handle.reload()
            work = Container(handle)
            outcome["pid"] = work.pid
        return work

    def find(self, run: Run, log: Log) -> Container | None:
        import docker.errors

        with docker_engine.explained("the container cannot be looked up"):
            try:
                work = Container(self.client.containers.get(name_of(run)))
            except docker.errors.NotFound:
                return None
            if work.handle.attrs["State"]["Status"] == "created":  # and its launcher died then
                work.handle.remove(force=True)
                return None
        return work if work.alive() else None

    def _token(self, job: Job) -> Secret | None:
        """What a model of the hub may need."""
        hub = not Path(job.model).is_absolute() and ":" not in job.model
        return find(HUGGING_FACE, self.context.world) if hub else None

    def _bring_token(self, handle: Any, job: Job) -> None:
        """Write the token into the container's memory, over a pipe: ``docker inspect`` shows all else."""
        import docker.errors

        token = self._token(job)
        if token is None:
            return
        value = token.value.encode()
        part = f"{TOKEN}.part"
        command = f"umask 077; head -c {len(value)} >{part} && mv {part} {TOKEN}"
        api = self.client.api
        try:
            made = api.exec_create(handle.id, ["sh", "-c", command], stdin=True)
            pipe = api.exec_start(made["Id"], socket=True)
            wire = getattr(pipe, "_sock", pipe)
            # The package's file object leaves the socket under it open.
            with closing(pipe), closing(wire):
                wire.sendall(value)
                while wire.recv(1024):
                    pass
        except (docker.errors.APIError, OSError) as error:
            # It has ended and its log has the reason, or it continues without the token.
            self.context.view.say(f"the Hugging Face token did not reach the container: {error}")

    def _recipe(self) -> build.Recipe:
        cpu = None if docker_engine.has_nvidia(self.client) else "none"
        return build.recipe(self.context.settings, cuda=cpu)

    def _image(self) -> str:
        if self.context.settings.image is not None:
            return build.ensure_pulled(
                self.context.settings.image, client=self.client, context=self.context
            )
        return build.ensure_built(self._recipe(), client=self.client, context=self.context)

    def _how(self, run: Run, job: Job, *, resume: bool) -> dict[str, Any]:
        """What the container is created with, beside its image."""
        kept = {run.folder: "rw", Path(job.data): "ro"}
        if job.eval_data is not None:
            kept[Path(job.eval_data)] = "ro"
        for asked in filter(None, (job.evaluate, job.validation)):
            for path in (Path(asked), *episodes.check(Path(asked)).values()):
                kept[Path(os.path.normpath(path))] = "ro"
        variables = {"SFT_LOG": str(run.log), "SFT_LOCK": str(run.trainer_lock)}
        if Path(job.model).is_absolute():
            kept[Path(job.model)] = "ro"
        elif ":" not in job.model:
            weights = self.context.world.hub_folder()
            kept[weights] = "rw"
            variables["HF_HOME"] = str(weights)
        # In a rootless engine root is this user; any other number is another user.
        rootless = docker_engine.is_rootless(self.client)
        user, group = (0, 0) if rootless else (os.geteuid(), os.getegid())
        memory = {}
        if self._token(job) is not None:
            variables |= {"HF_TOKEN_PATH": TOKEN, "SFT_AWAIT": TOKEN}
            memory[SECRETS] = f"size=64k,mode=0700,uid={user},gid={group}"
        return {
            "name": name_of(run),
            "command": ["train", str(run.job), *["--resume"] * resume],
            "user": f"{user}:{group}",
            "tmpfs": memory,
            "working_dir": str(run.folder),
            "environment": variables,
            "volumes": [f"{path}:{path}:{mode}" for path, mode in kept.items()],
            "labels": {FOLDER: str(run.folder)},
            "shm_size": SHARED_MEMORY,
        }
