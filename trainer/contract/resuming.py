"""Which options may change when a run is resumed, and the command in a hint that resumes it.

The plan for the device (``plan.*``) may change, as the result does not depend on it, and so may checkpoints
and samples. All other options decide the result, and a resumed run keeps them.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.contract.command.errors import Usage
from trainer.contract.job import Job, apply

CONSENT = "allow_precision_change"
AT_RESUME = frozenset({"plan", "checkpoint", "samples", CONSENT})
WHICH = f"plan.*, checkpoint.*, samples, and with --{CONSENT.replace('_', '-')} precision"


def fixed(names: Iterable[str]) -> list[str]:
    """Return the dotted option ``names`` that must not change in a resumed run."""
    given = list(names)
    free = AT_RESUME | ({"precision"} if CONSENT in given else set())
    return [name for name in given if name.split(".")[0] not in free]


def name_of(setting: str) -> str:
    """Return the option's name in ``name=value``."""
    return setting.partition("=")[0].strip()


def may_change(settings: Sequence[str]) -> bool:
    """Say whether all ``settings``, each ``name=value``, may change in a resumed run."""
    return not fixed(map(name_of, settings))


def as_flags(settings: Sequence[str]) -> str:
    """Return ``settings`` as flags to append to a command, with a leading space."""
    return "".join(f" --set {shlex.quote(setting)}" for setting in settings)


def command(job_file: Path, settings: Sequence[str]) -> str:
    """Return the command that resumes the run of ``job_file`` with ``settings``.

    If they must not change in a resumed run, the command restarts the run.
    """
    how = "--resume" if may_change(settings) else "--overwrite"
    return f"python -m trainer {shlex.quote(str(job_file))} {how}{as_flags(settings)}"


def check(sets: Sequence[str], flags: Mapping[str, Any], *, again: str) -> None:
    """Raise ``Usage`` for an option that must not change; ``again`` is the command that restarts the run."""
    if kept := fixed([*map(name_of, sets), *flags]):
        settings = [*sets, *(f"{name}={value}" for name, value in flags.items())]
        raise Usage(
            f"a resumed run keeps its {', '.join(kept)}",
            f"with --resume these may change: {WHICH}; to change others, restart the run: "
            f"{again}{as_flags(settings)}",
        )


def changed(job: Job, sets: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Return ``job`` with ``sets`` (each ``name=value``) and ``flags`` (dotted name to value).

    Raises ``BadJob`` for an invalid setting.
    """
    return apply(job.model_dump(mode="json"), sets, flags, source="job")
