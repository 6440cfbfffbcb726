"""Upload to the pod: data by hash, secrets into memory, the job last."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from launcher.pod import checkpoint
from launcher.pod.connection import PodConnection
from launcher.pod.transfer import upload
from launcher.rental.rental_context import Rental
from launcher.runs import model_folder, resume_check
from launcher.runs.run_folder import Run
from launcher.secrets import find
from trainer.contract import episodes, events
from trainer.contract import pod as border
from trainer.contract.command.errors import Interrupted
from trainer.contract.job import Job

ARCHIVE = ".model.tar"


def upload_job(
    rental: Rental, connection: PodConnection, job: Job, *, offset: int, resume: bool
) -> None:
    """Upload files, secrets, then the job, whose arrival starts the training.

    Each step may be repeated: what the pod has is not sent again. Raises ``ResumeRefused`` for
    data or a model folder that is not what the run was begun with.
    """
    run, log = rental.run, rental.log
    resume_check.check(rental.state, job)
    with packed(run, job) as archive:
        names = send_files(rental, connection, [*files_of(job), *archive])
    _must_go_on(rental)
    send_secrets(rental, connection)
    _must_go_on(rental)
    if resume and (newest := checkpoint.newest_here(run)) is not None:
        with log.effect("checkpoint", sent=newest.name):
            checkpoint.send(run, newest, connection)
        rental.say(f"uploaded {newest.name}: training continues from it")
    told = job.model_copy(
        update={
            "data": names[job.data],
            "eval_data": names[job.eval_data] if job.eval_data else None,
            "evaluate": names[job.evaluate] if job.evaluate else None,
            "validation": names[job.validation] if job.validation else None,
            "output": border.RUN,
            "model": _model(job, names),
        }
    )
    with log.effect("start", offset=offset, resume=resume):
        if not accepted(run, offset):
            target = f"{border.inbox(run.id)}/{border.JOB}"
            connection.link.ask(lambda session: session.put(target, told.to_json().encode()))


@contextmanager
def packed(run: Run, job: Job) -> Iterator[list[str]]:
    """The archive of a model that is a folder here, while it is needed; none for another model."""
    if not Path(job.model).is_absolute():
        yield []
        return
    archive = run.folder / ARCHIVE
    try:
        model_folder.pack(Path(job.model), archive)
        yield [str(archive)]
    finally:
        archive.unlink(missing_ok=True)


def _model(job: Job, names: Mapping[str, str]) -> str:
    archive = next((names[path] for path in names if Path(path).name == ARCHIVE), None)
    sha256 = border.uploaded_sha256(archive) if archive else None
    return border.model_name(sha256, job.model) if sha256 else job.model


def files_of(job: Job) -> list[str]:
    """Every file of this machine that the job needs. Raises ``BadData`` for a table that has changed."""
    asked = [*filter(None, [job.evaluate, job.validation])]
    tables = [str(table) for path in asked for table in episodes.check(Path(path)).values()]
    named = [job.data, *filter(None, [job.eval_data]), *asked]
    return [*dict.fromkeys([*named, *tables])]


def _must_go_on(rental: Rental) -> None:
    if rental.context.interrupted:
        raise Interrupted("interrupted before training began")


def accepted(run: Run, offset: int) -> bool:
    """Whether the mirrored events show that the pod has accepted the job."""
    seen, _ = events.read(run.events, offset)
    return any(isinstance(e, events.Phase) and e.name == "accepted" for e in seen)


def send_files(rental: Rental, connection: PodConnection, paths: Iterable[str]) -> dict[str, str]:
    """Upload each file; return how the job in the pod names it."""
    wanted = [Path(path) for path in paths]
    total = sum(path.stat().st_size for path in wanted)
    done = 0

    def sent(count: int) -> None:
        nonlocal done
        done += count
        rental.context.view.progress("upload (bytes)", min(done, total), total)
        _must_go_on(rental)

    names: dict[str, str] = {}
    with rental.log.effect("upload", files=len(wanted), bytes=total) as outcome:
        for path in wanted:
            there = upload(connection.link, path, str(border.inbox(rental.run.id)), sent=sent)
            names[str(path)] = border.upload_name(there.rsplit("/", 1)[-1])
        outcome["names"] = sorted(names.values())
    return names


def send_secrets(rental: Rental, connection: PodConnection) -> None:
    """Write the secrets that exist here into the pod's memory-backed folder; only names are noted."""
    found = [secret for name in border.SECRET_NAMES if (secret := find(name, rental.context.world))]
    if not found:
        return
    with rental.log.effect("secrets", names=[secret.name for secret in found]):
        for secret in found:
            target = f"{border.SECRETS}/{secret.name}"
            value = secret.value.encode()
            connection.link.ask(lambda session, to=target, what=value: session.put(to, what))  # type: ignore[misc]
