"""Which options may change when a run is resumed, and the command that a hint asks to type.

What a device makes of a job (``plan.*``) may change: the result does not depend on it. So may what is
saved and shown on the way. Everything else decides the result, and a resumed run keeps it.
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
    """Return those of the dotted option ``names`` that a resumed run keeps."""
    given = list(names)
    free = AT_RESUME | ({"precision"} if CONSENT in given else set())
    return [name for name in given if name.split(".")[0] not in free]


def name_of(setting: str) -> str:
    """Return the option's name in ``name=value``."""
    return setting.partition("=")[0].strip()


def may_change(settings: Sequence[str]) -> bool:
    """Say whether a resumed run may take all ``settings``, each ``name=value``."""
    return not fixed(map(name_of, settings))


def as_flags(settings: Sequence[str]) -> str:
    """Return ``settings`` as they are typed after a command, with a space in front."""
    return "".join(f" --set {shlex.quote(setting)}" for setting in settings)


def command(job_file: Path, settings: Sequence[str]) -> str:
    """Return the command with which the run of ``job_file`` goes on with ``settings``.

    Where a resumed run may not have them, the command begins the run again.
    """
    how = "--resume" if may_change(settings) else "--overwrite"
    return f"python -m trainer {shlex.quote(str(job_file))} {how}{as_flags(settings)}"


def check(sets: Sequence[str], flags: Mapping[str, Any], *, again: str) -> None:
    """Raise ``Usage`` for an option that a resumed run keeps; ``again`` is the command that begins anew."""
    if kept := fixed([*map(name_of, sets), *flags]):
        settings = [*sets, *(f"{name}={value}" for name, value in flags.items())]
        raise Usage(
            f"a resumed run keeps its {', '.join(kept)}",
            f"with --resume these may change: {WHICH}; to change the others, begin again: "
            f"{again}{as_flags(settings)}",
        )


def changed(job: Job, sets: Sequence[str], flags: Mapping[str, Any]) -> Job:
    """Return ``job`` with ``sets`` (each ``name=value``) and ``flags`` (dotted name to value).

    Raises ``BadJob`` for a setting that is not valid.
    """
    return apply(job.model_dump(mode="json"), sets, flags, source="job")
