"""report.json: what report.html shows, for programs. The transcripts lie in `evaluation/`.

Times are unix seconds, sizes bytes, rates per second, money US dollars, accuracies fractions from 0 to 1.
An unknown figure is null or empty. A field may be added within a version; one that goes
away, or means something else, makes a new one.
"""

from collections import Counter
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from launcher.report.expected import Unit
from launcher.report.facts import Facts
from launcher.report.sentences import outcome

State = Literal["finished", "unfinished", "failed", "no result"]


class Curves(BaseModel):
    """One value for each step or evaluation; a step that was taken twice counts as it was last."""

    step: list[int]
    loss: list[float] = Field(description="per trained token")
    lr: list[float]
    tokens_per_second: list[float]
    trained_tokens_per_second: list[float]
    memory_bytes: list[int]
    gpu_use: list[float | None] = Field(description="percent of the time; null where unknown")
    mfu: list[float | None] = Field(
        description="rate as a share of the cards' peak rate, in percent"
    )
    eval_step: list[int]
    eval_loss: list[float] = Field(description="per trained token, on rows held out")


class Expectation(BaseModel):
    """What was expected, and what it came to."""

    what: str
    unit: Unit
    expected: float
    measured: float
    error: float = Field(description="measured divided by expected, minus one")


class Report(BaseModel):
    model_config = ConfigDict(frozen=True)

    v: Literal[1] = 1
    id: str = Field(description="of the run")
    state: State = Field(description="unfinished: an adapter exists, not trained to the end")
    outcome: list[str] = Field(description="the first lines of the page")
    seconds: float = Field(description="from the first event to the last")
    plan: dict[str, Any] | None = Field(description="the last `plan` event: device, rows, tokens")
    kernels: dict[str, Any] | None = Field(
        description="the last `kernels` event: seconds of the trial step with plain and with fused kernels"
    )
    curves: Curves
    expected: list[Expectation]
    lengths: list[tuple[int, int]] = Field(description="(longest in the bin in tokens, rows)")
    comparison: dict[str, Any] | None = Field(description="comparison.json as it is")
    validation: dict[str, Any] | None = Field(
        description="validation.json as it is: the score of each checkpoint that could have been kept"
    )
    answers: dict[str, int] = Field(
        description="questions by outcome: won, lost, both right, both wrong"
    )
    samples: list[dict[str, Any]] = Field(
        description="each answer to a held-out row: step, prompt, text, label (base, adapter), line, reference"
    )
    held_out: dict[str, Any] | None = Field(
        description="the last `held_out` event: loss of base and adapter for each row and turn"
    )
    divergence: dict[str, Any] | None = Field(
        description="the last `divergence` event: nats per token for each general prompt"
    )
    quote: dict[str, Any] | None = Field(description="as journalled; null where nothing was rented")
    receipt: dict[str, Any] | None = Field(description="receipt.json as it is")
    warnings: list[str]
    failure: dict[str, Any] | None = Field(description="cause, hint and exit_code")
    manifest: dict[str, Any] | None = Field(
        description="manifest.json without `files`: job, data, base, versions, reload proof"
    )


def figures(facts: Facts) -> Report:
    """The same facts as the page's. Pure."""
    steps, evals, failure, plan = facts.steps, facts.evals, facts.failure, facts.plan
    held_out, divergence, kernels = facts.held_out, facts.divergence, facts.kernels
    made = {"v", "seq", "time", "type"}
    return Report(
        id=facts.run.id,
        state=_state(facts),
        outcome=outcome(facts),
        seconds=facts.seconds(),
        plan=plan and plan.model_dump(mode="json", exclude=made),
        kernels=kernels and kernels.model_dump(mode="json", exclude=made),
        curves=Curves(
            step=[s.step for s in steps],
            loss=[s.loss for s in steps],
            lr=[s.lr for s in steps],
            tokens_per_second=[s.tokens_per_second for s in steps],
            trained_tokens_per_second=[s.trained_tokens_per_second for s in steps],
            memory_bytes=[s.memory_bytes for s in steps],
            gpu_use=facts.gpu_use,
            mfu=facts.mfu,
            eval_step=[e.step for e in evals],
            eval_loss=[e.loss for e in evals],
        ),
        expected=[
            Expectation(**asdict(one), error=round(one.error, 4)) for one in facts.expected()
        ],
        lengths=facts.data.lengths if facts.data else [],
        comparison=facts.comparison or None,
        validation=facts.choice and facts.choice.model_dump(mode="json"),
        answers=Counter(pair.outcome for pair in facts.pairs),
        samples=[s.model_dump(mode="json", exclude=made) for s in facts.samples],
        held_out=held_out and held_out.model_dump(mode="json", exclude=made),
        divergence=divergence and divergence.model_dump(mode="json", exclude=made),
        quote=facts.quote or None,
        receipt=facts.receipt or None,
        warnings=facts.warnings,
        failure=failure and failure.model_dump(mode="json", exclude=made),
        manifest=facts.manifest and facts.manifest.model_dump(mode="json", exclude={"files"}),
    )


def _state(facts: Facts) -> State:
    if facts.manifest is not None and facts.manifest.complete:
        return "finished"
    if facts.failure is not None:
        return "failed"
    return "no result" if facts.manifest is None else "unfinished"
