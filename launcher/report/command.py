"""The command that starts the training of a run again."""

import json
import shlex
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from launcher.runs.run_folder import Run
from trainer.contract.command.errors import Fault
from trainer.contract.command.settings import written
from trainer.contract.job import Job, flag_names, options

FILES = ("data", "eval_data", "evaluate", "validation", "model")


def again(run: Run, summary: Mapping[str, Any]) -> str | None:
    """Return ``launch train`` with each option that differs from its default; None if the job is unknown.

    Files in the working directory are written relative to it.
    """
    try:
        job = (
            Job.resolve(summary["job"], source="journal")
            if "job" in summary
            else Job.from_json(run.job)
        )
    except Fault:
        return None
    return shlex.join(["launch", "train", *_machine(summary), *_options(job)])


def _machine(summary: Mapping[str, Any]) -> Iterator[str]:
    where, settings = summary.get("where", "here"), summary.get("settings", {})
    if where == "runpod":
        for name in ("gpu", "max_cost"):
            if name in settings:
                yield from (f"--{name.replace('_', '-')}", written(settings[name]))
    elif where != "here":
        yield from ("--on", where)


def _options(job: Job) -> Iterator[str]:
    flags = dict(flag_names())
    for name, field in options():
        value: Any = reduce(getattr, name.split("."), job)
        default = field.get_default(call_default_factory=True, validated_data={})
        if name == "output" or value == default:
            continue
        if name in FILES and value and Path(value).is_relative_to(Path.cwd()):
            value = str(Path(value).relative_to(Path.cwd()))
        if name not in flags:
            yield from ("--set", f"{name}={json.dumps(value)}")
        else:
            yield from [flags[name]] if value is True else (flags[name], written(value))
