"""The expected failures of all commands, each with an exit code, and the main function of every command.

Standard library only. A ``Fault`` holds what is wrong and what to do. A command prints ``report(fault)``
on stderr and exits with the fault's code, without a traceback.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from trainer.contract.command.private import keep_private
from trainer.contract.command.streams import make_usable

SHOWN_FAULTS = 20
SHOWN_TOGETHER = 3  # of each fault, if several are shown


class Fault(Exception):  # noqa: N818 - the project calls expected failures faults
    """An expected failure. ``faults``: one line for each of several things that are wrong; ``every``: all of
    them, if a line of ``faults`` stands for several.

    ``settings``, each ``name=value``: what to change so that the run succeeds; the program that prints the
    fault shows them as a command. Empty: the run can resume unchanged. None: no command helps.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        cause: str,
        hint: str = "",
        *,
        faults: Sequence[str] = (),
        settings: Sequence[str] | None = None,
        every: Sequence[str] = (),
    ) -> None:
        super().__init__(cause, hint)
        self.cause = cause
        self.hint = hint
        self.faults = tuple(faults)
        self.every = tuple(every)
        self.settings = None if settings is None else tuple(settings)

    def __str__(self) -> str:
        return f"{self.cause}: {self.hint}" if self.hint else self.cause


class Usage(Fault):
    """The command line is wrong (argparse exits with the same code)."""

    exit_code = 2


class BadData(Fault):
    """The rows cannot be trained; ``faults`` has a line ``file:line: what: what to do`` for each."""

    exit_code = 3


class BadJob(Fault):
    """A recipe, a job file or a setting is invalid."""

    exit_code = 4


class OutputExists(Fault):
    """The output folder already holds a result."""

    exit_code = 5


class NotInstalled(Fault):
    """An extra of this package is missing."""

    exit_code = 6


class ModelUnavailable(Fault):
    """The model cannot be loaded or used: hub, gate, folder, tokenizer or chat template."""

    exit_code = 7


class NoSpace(Fault):
    """The disk is full."""

    exit_code = 8


class TrainingFailed(Fault):
    """Training failed: the loss is not finite, memory ran out, or the adapter is not reproducible."""

    exit_code = 9


class Locked(Fault):
    """Another process writes to the run folder."""

    exit_code = 10


class NotFound(Fault):
    """A named file or run does not exist."""

    exit_code = 11


class SandboxUnsafe(Fault):
    """The sandbox cannot provide the requested isolation."""

    exit_code = 12


class ResultRejected(Fault):
    """A result does not match its manifest."""

    exit_code = 13


class ResumeRefused(Fault):
    """The job, the data or the model has changed since the run was started."""

    exit_code = 14


class BudgetSpent(Fault):
    """The budget for model calls is spent; with a higher budget the same command continues."""

    exit_code = 15


class TeacherRefused(Fault):
    """The model's API rejects the key, the model or the request."""

    exit_code = 16


class TeacherUnavailable(Fault):
    """The model's API cannot be reached or keeps failing; the same command continues later."""

    exit_code = 17


class NotRecorded(Fault):
    """The recording to replay has no answer to this call."""

    exit_code = 18


class ProcessLost(Fault):
    """One of several processes of a training ended, was stopped, or did not connect."""

    exit_code = 19


class Interrupted(Fault):
    """Ctrl-C or SIGTERM."""

    exit_code = 130


INTERNAL_ERROR = 1
BROKEN_PIPE = 141
# Errors of a path that the user named.
UNUSABLE = {
    *(errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.ENXIO, errno.EPERM, errno.EROFS, errno.ETXTBSY),
}


def report(fault: Fault) -> str:
    """Return the text that a command prints on stderr for ``fault``, without a final newline."""
    lines = [f"error: {fault.cause}"]
    lines += [f"  {line}" for line in fault.faults[:SHOWN_FAULTS]]
    if len(fault.faults) > SHOWN_FAULTS:
        lines.append(f"  ... and {len(fault.faults) - SHOWN_FAULTS} more")
    if fault.hint:
        lines.append(f"  -> {fault.hint}")
    return "\n".join(lines)


@contextmanager
def noted(found: list[Fault]) -> Iterator[None]:
    """Inside, a fault is appended to ``found``."""
    try:
        yield
    except Fault as fault:
        found.append(fault)


def joined(found: Sequence[Fault]) -> Fault:
    """Return one fault for several: the first one's kind, and each one's cause and next step in order."""
    if len(found) == 1:
        return found[0]
    lines: list[str] = []
    for number, fault in enumerate(found, 1):
        lines.append(f"{number}. {fault.cause}")
        lines += [f"   {line}" for line in fault.faults[:SHOWN_TOGETHER]]
        hidden = len(fault.faults) - SHOWN_TOGETHER
        lines += [f"   ... and {hidden} more"] * (hidden > 0)
        lines += [f"   -> {fault.hint}"] * bool(fault.hint)
    return type(found[0])(f"{len(found)} things to correct before this can run", faults=lines)


def no_space(error: OSError) -> NoSpace:
    """Return the fault for an ENOSPC or EDQUOT error."""
    where = f" while writing {error.filename}" if error.filename else ""
    return NoSpace(f"the disk is full{where}", "free some space, then run the same command again")


def is_no_space(error: BaseException) -> bool:
    """Say whether ``error`` means that the disk, or the user's quota, is full."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def run_main(inner: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None) -> int:
    """Call ``inner(argv)`` and return the exit code; every failure becomes one message on stderr.

    ``SystemExit`` (argparse) is raised. ``SFT_TRACEBACK=1`` shows the traceback of any failure.
    """
    keep_private()
    make_usable()
    try:
        code = inner(argv)
        sys.stdout.flush()
    except Fault as fault:
        return _failed(report(fault), fault.exit_code)
    except KeyboardInterrupt:
        found = Interrupted("interrupted", "run the same command again")
        return _failed(report(found), found.exit_code)
    except BrokenPipeError:
        # Python flushes stdout again at exit, which would print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost function: every error needs a message
        if isinstance(error, OSError) and is_no_space(error):
            return _failed(report(no_space(error)), NoSpace.exit_code)
        if isinstance(error, OSError) and error.errno in UNUSABLE and error.filename:
            unusable = Usage(
                f"{error.filename}: {error.strerror}", "choose another path, or delete it"
            )
            return _failed(report(unusable), unusable.exit_code)
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _failed(
            f"internal error: {what}\n  -> set SFT_TRACEBACK=1 to see the traceback", INTERNAL_ERROR
        )
    return code


def _failed(text: str, code: int) -> int:
    if os.environ.get("SFT_TRACEBACK") == "1":
        traceback.print_exc()
    sys.stderr.write(text + "\n")
    return code
