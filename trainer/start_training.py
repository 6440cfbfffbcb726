"""``train``: checks first, trains in this process or in several, and writes an event for every outcome."""

import os
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from trainer import checkpoints, library_log, out_of_memory, training_run
from trainer.contract import events, manifest, resuming, validation
from trainer.contract.command import libraries
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import (
    Fault,
    Interrupted,
    NoSpace,
    NotInstalled,
    is_no_space,
    no_space,
)
from trainer.contract.command.installing import install
from trainer.contract.job import Job
from trainer.contract.rows import read_rows
from trainer.processes import collective, local
from trainer.processes.pipe import has_parent, open_events
from trainer.reporting import Reporter
from trainer.signals import ParentStopRequest, StopRequest

NEEDED = (
    *("torch", "transformers", "trl", "peft"),
    *("datasets", "accelerate", "bitsandbytes", "matplotlib"),
)
NO_ROOM = ("No space left", "PytorchStreamWriter failed", "inline_container")
LOG = "train.log"
EVENTS = "events.jsonl"
JOB = "job.json"


def train(job: Job, *, resume: bool, overwrite: bool, say: Callable[[str], None]) -> None:
    """Train ``job`` into its output folder; ``say`` gets lines for people.

    Raises a ``Fault`` for every expected failure, which is also written to the folder's events.
    """
    try:
        _train_together(job, resume=resume, overwrite=overwrite, say=say)
    except BaseException as error:
        collective.announce_end(error)
        raise
    collective.announce_end(None)


def _train_together(job: Job, *, resume: bool, overwrite: bool, say: Callable[[str], None]) -> None:
    output = Path(job.output)
    try:
        check_installed()
        libraries.prepare_environment(one_card=False)
        # First of all: from here on an error that ends one process, such as invalid rows, ends all.
        collective.connect(say)
        validation.check(job)
        if collective.rank() == 0 and not has_parent():
            checkpoints.prepare(output, resume=resume, overwrite=overwrite)
        if resume and checkpoints.complete(output):
            found = manifest.load(output / manifest.NAME)
            for _, record in checkpoints.whole(output)[-1:]:
                checkpoints.check_resume(record, job, manifest.hash_file(Path(job.data)).sha256)
            say(f"{output} is complete: {found.metrics.get('steps')} steps; nothing is left to do")
            return
        rows = read_rows(Path(job.data))
    except Fault as fault:
        if output.is_dir():
            with suppress(OSError, Fault), open_events(output / EVENTS) as writer:
                writer.emit(_failed(fault))
        raise
    asked = ParentStopRequest() if has_parent() else StopRequest()
    with open_events(output / EVENTS) as writer, asked as stop:
        collective.on_lost(lambda lost: writer.emit(_failed(lost)))
        try:
            if collective.rank() == 0:
                for _, record in checkpoints.whole(output)[-1:] if resume else ():
                    checkpoints.check_resume(record, job, rows.sha256)
                write_whole(output / JOB, job.to_json())
            if (count := local.wanted(job)) > 1:
                log = output / LOG
                local.train(
                    output / JOB, log, count, writer, stop, resume=resume, to_the_end=job.plan.shard
                )
                return
            libraries.prepare_environment()
            with library_log.library_output_to(output / LOG):
                reporter = Reporter(writer, say, output / LOG)
                if collective.rank():  # of several processes only the first prints
                    reporter = Reporter(writer, lambda _: None, Path(os.devnull))
                training_run.run(job, output, rows, reporter, stop, resume=resume)
        except BaseException as error:
            known = _as_fault(error, job)
            failed = _failed(known or Fault(f"internal error: {error!r}", f"see {LOG}"))
            # If this cannot be written either, the user still gets the message on stderr.
            with suppress(OSError):
                writer.emit(failed)
            if known is None:
                raise
            if not has_parent():
                known.hint = with_command(known, output / JOB)
            if known is error:
                raise
            raise known from error


def check_installed() -> None:
    """Raise ``NotInstalled`` if the ``train`` extra is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"training needs {', '.join(missing)}", f"install it with: {install('train')}"
        )


def _failed(fault: Fault) -> events.Failed:
    cause = "\n".join([fault.cause, *fault.faults[:20]])
    settings = None if fault.settings is None else list(fault.settings)
    return events.Failed(cause=cause, hint=fault.hint, exit_code=fault.exit_code, settings=settings)


def with_command(fault: Fault, job_file: Path) -> str:
    """Return the fault's hint, with the command that follows it if one helps."""
    if fault.settings is None:
        return fault.hint
    what = "continue" if resuming.may_change(fault.settings) else "restart"
    command = f"{what} with: {resuming.command(job_file, fault.settings)}"
    return f"{fault.hint}; {command}" if fault.hint else command


def _as_fault(error: BaseException, job: Job) -> Fault | None:
    if lost := collective.lost_process_behind(error):
        return lost
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return Interrupted("interrupted", settings=())
    if isinstance(error, Fault):
        return error
    if isinstance(error, OSError) and is_no_space(error):
        return no_space(error)
    if out_of_memory.recognised(error):
        return out_of_memory.fault("", "take a device with more memory", (), error)
    # safetensors and torch.save wrap the system's error in another one with its text.
    if any(words in str(error) for words in NO_ROOM):
        return NoSpace(
            f"the disk is full while writing to {job.output}", "free some space", settings=()
        )
    return None
