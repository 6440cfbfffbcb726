"""Measure a finished run from its events and its journal, for the plans and quotes of later runs."""

from contextlib import suppress
from statistics import median

from launcher.quote import measured
from launcher.quote.estimate import parameters_of
from launcher.quote.measured import Measured
from launcher.runs.run_folder import Run
from launcher.runs.run_state import RunState
from launcher.world import World
from trainer.contract import events
from trainer.contract.command.errors import Fault


def remember(run: Run, state: RunState, *, world: World) -> None:
    """Append what the run measured to the user's file. Damaged events leave nothing and fail nothing."""
    with suppress(Fault, ValueError):
        one = measure(run, state, world=world)
        if one is not None:
            measured.keep(one, world=world)


def _after_the_run(event: events.Event) -> bool:
    """Whether the pod reports how it ends itself, which may be long after the run."""
    return isinstance(event, events.Released) or getattr(event, "name", "") == "released"


def measure(run: Run, state: RunState, *, world: World) -> Measured | None:
    """The newest attempt's figures; None without a step, and for a CPU of this machine.

    A rented pod that trained on its CPU counts for the pull and the start only.
    """
    seen, _ = events.read(run.events, state.offset or 0)
    steps = [event for event in seen if isinstance(event, events.Step)]
    plan = next((event for event in reversed(seen) if isinstance(event, events.Plan)), None)
    model = state.summary.get("model")
    if plan is None or not steps or not model:
        return None
    on_card = not plan.device.startswith("cpu")
    pod = state.pod
    if pod is None and not on_card:
        return None
    trial = next((event for event in reversed(seen) if isinstance(event, events.TrialStep)), None)
    begun = seen[0].time
    ended = max(event.time for event in seen if not _after_the_run(event))
    first_pod = pod if pod is not None and len(state.names) == len(pod.times) == 1 else None
    pull = first_pod.up - first_pod.since if first_pod and first_pod.up else None
    quoted = state.quote if first_pod else {}
    return Measured(
        run=run.id,
        time=world.now(),
        card=pod.gpu if pod else plan.device,
        cards=plan.processes,
        model=model,
        parameters=parameters_of(model, world=world),
        precision=plan.precision,
        seconds=round(ended - begun + (pull or 0.0), 1),
        tokens_per_second=median(step.tokens_per_second for step in steps) if on_card else None,
        bound_tokens_per_second=trial.bound_tokens_per_second if trial and on_card else None,
        peak_bytes=trial.peak_bytes if trial and on_card else None,
        predicted_bytes=trial.predicted_bytes if trial and on_card else None,
        pull_seconds=pull and round(pull, 1),
        start_seconds=round(max(0.0, steps[0].time - begun), 1),
        predicted_tokens_per_second=quoted.get("tokens_per_second") if on_card else None,
        predicted_seconds=quoted.get("likely_hours", 0.0) * 3600 or None,
    )
