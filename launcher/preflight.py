"""Everything that keeps a run from starting, found in one go: mistakes first, then what is missing."""

from launcher import tracking
from launcher.context import Context
from launcher.machines import Machine
from launcher.quote import gpu_names
from launcher.runs.new_run import Plan, names_no_data, read_inputs
from trainer.contract.command.errors import Fault, noted
from trainer.contract.job import Job
from trainer.contract.rows import Rows


def mistakes(plan: Plan, job: Job) -> tuple[Rows | None, list[Fault]]:
    """The rows, and what only the user can correct: files, models and cards that do not exist.

    ``job`` has its paths as they were typed.
    """
    data, found = read_inputs(job)
    if plan.where == "runpod":
        with noted(found):
            gpu_names.resolve(plan.settings.gpu)
    return data, found


def missing(plan: Plan, machine: Machine, context: Context) -> list[Fault]:
    """What the run needs and this machine, its engine or the account lacks."""
    found: list[Fault] = []
    with noted(found):
        tracking.check(plan.settings.track, variable=context.world.variable)
    return [*found, *machine.missing(plan.job)]


def without_data(job: Job, found: list[Fault]) -> tuple[list[Fault], list[Fault]]:
    """Split ``found`` of ``mistakes`` into faults and what a preview can do without: data that are not named."""
    count = int(names_no_data(job))
    return found[count:], found[:count]
