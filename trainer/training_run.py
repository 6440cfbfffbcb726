"""One training in this process, step by step: resume point, data and plan, steps, save, proof, publish."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import checkpoints, device, out_of_memory
from trainer.contract import events, manifest
from trainer.contract.command.errors import Interrupted
from trainer.contract.event_text import clock
from trainer.contract.job import Job
from trainer.contract.rows import Rows
from trainer.processes import collective
from trainer.reporting import Reporter
from trainer.run_context import Run
from trainer.signals import StopRequest

if TYPE_CHECKING:
    from trainer.loop.callbacks import Counts

Metrics = dict[str, float | int | None]
FEW_STEPS = 20


def run(
    job: Job, output: Path, rows: Rows, reporter: Reporter, stop: StopRequest, *, resume: bool
) -> None:
    """Train ``job`` on ``rows``; the first process publishes the adapter in ``output``."""
    this = _prepare(job, output, rows, reporter, stop, resume=resume)
    from trainer.loop.callbacks import Counts
    from trainer.result import proof

    counts = Counts(this.record)
    loop = _make_loop(this, counts)
    seconds = _take_steps(this, loop)
    if not _is_needed_to_the_end(this):
        return
    metrics = _save(this, loop, counts, seconds)
    history = list(loop.state.log_history)
    computed = proof.of_loop(loop, this.prepared.proof_rows, this.prepared.plan.own_attention)
    # The proof loads another base, for which this one must be freed.
    del loop
    proved = _prove(this, computed)
    collective.leave()
    if collective.rank() == 0:
        _publish(this, history, metrics, proved)


def _prepare(
    job: Job, output: Path, rows: Rows, reporter: Reporter, stop: StopRequest, *, resume: bool
) -> Run:
    """Find the checkpoint to resume, tokenise the rows, make the plan, and clear the new adapter's folder."""
    checkpoint, record = _resume_point(job, output, rows, reporter) if resume else (None, None)
    leads = collective.rank() == 0
    if leads and resume:
        checkpoints.forget_newer(output, record.step if record else -1)
    reporter.phase("data", f"{len(rows.rows)} rows in {job.data}")
    from trainer.data.prepare import prepare

    collective.use_own_card()
    prepared = prepare(job, rows, record, reporter)
    reporter.phase("model", f"loading {prepared.source.name} in {prepared.plan.precision}")
    here = checkpoints.Record(
        step=record.step if record else 0,
        job=job.model_dump(mode="json"),
        job_hash=job.hash(),
        data_sha256=rows.sha256,
        template_sha256=prepared.template_sha256,
        precision=prepared.plan.precision,
        device=prepared.plan.device.name,
        pass_tokens=prepared.plan.pass_tokens,
        processes=collective.size(),
        tokens=record.tokens if record else 0,
        trained_tokens=record.trained_tokens if record else 0,
    )
    this = Run(
        job=job,
        output=output,
        prepared=prepared,
        reporter=reporter,
        stop=stop,
        checkpoint=checkpoint,
        record=record,
        here=here,
    )
    if leads:
        shutil.rmtree(this.new_adapter, ignore_errors=True)
    if record and record.environment() != here.environment():
        reporter.warn(
            f"started on {record.environment()}, resumed on {here.environment()}: not bit-exact from this step on"
        )
    return this


def _resume_point(
    job: Job, output: Path, rows: Rows, reporter: Reporter
) -> tuple[Path | None, checkpoints.Record | None]:
    found = checkpoints.newest(output, reporter.warn)
    if found is None:
        reporter.warn("no checkpoint to resume from: starting from the beginning")
        return None, None
    checkpoints.check_resume(found[1], job, rows.sha256)
    return found


def _make_loop(this: Run, counts: "Counts") -> Any:
    """Load the base into a training loop with its callbacks, and report the plan."""
    from trainer import pretrained
    from trainer.loop import speed_bound, trial_step
    from trainer.loop.callbacks import RunCallback
    from trainer.loop.loop import Loop
    from trainer.loop.samples import Samples

    job, prepared, reporter = this.job, this.prepared, this.reporter
    shape = pretrained.architecture(prepared.source)
    work = (shape, prepared.plan, prepared.examples, job.lora.r)
    callbacks = [RunCallback(this, counts, speed_bound.peak_rate(*work))]
    loop = Loop(job, prepared, this.output, counts=counts, callbacks=callbacks, reporter=reporter)
    if prepared.eval_examples is not None:
        loop.add_callback(Samples(loop, this))
    if trial_step.wanted(prepared.plan):
        bound = speed_bound.bound(*work)
        loop.add_callback(trial_step.TrialStep(loop, prepared.plan, reporter, bound))
    _announce(this, loop)
    return loop


def _announce(this: Run, loop: Any) -> None:
    job, prepared, reporter = this.job, this.prepared, this.reporter
    plan, examples = prepared.plan, prepared.examples
    ends = loop.model.generation_config.eos_token_id
    if prepared.stop_id not in (ends if isinstance(ends, list) else [ends]):
        reporter.warn(
            f"the base model does not stop at {prepared.stop!r}, which ends a turn in its chat "
            "template: pass it as a stop token when you generate"
        )
    if job.max_steps is None and plan.steps < FEW_STEPS:
        reporter.warn(
            f"{plan.steps} steps change a model little: with few rows, take a smaller --batch-size or more --epochs"
        )
    cards = f"{plan.processes} x " if plan.processes > 1 else ""
    trainable = sum(p.numel() for p in loop.model.parameters() if p.requires_grad)
    reporter.emit(
        events.Plan(
            device=plan.device.name,
            precision=plan.precision,
            attention=plan.attention,
            pass_tokens=plan.pass_tokens,
            passes=plan.passes,
            processes=plan.processes,
            recompute_every=plan.recompute_every,
            predicted_bytes=plan.predicted_bytes,
            rows=len(examples.lengths),
            dropped_rows=len(examples.dropped),
            tokens=examples.tokens,
            trained_tokens=examples.trained_tokens,
            steps=plan.steps,
            epochs=round(plan.epochs, 4),
            trainable_parameters=trainable,
        )
    )
    reporter.phase(
        "train",
        f"{plan.steps} steps of {job.batch_size} rows, {plan.precision} on {cards}{plan.device.name}",
    )
    reporter.line(
        f"{examples.tokens:,} tokens an epoch, {examples.trained_tokens:,} of them trained; "
        f"{trainable:,} trainable parameters"
    )
    if this.record:
        reporter.phase("resume", f"after step {this.record.step}")


def _take_steps(this: Run, loop: Any) -> float:
    """Train; return the seconds it took. Raises ``Interrupted`` if stopped before the last step."""
    started = time.monotonic()
    this.stop.in_loop = True
    loop.run(this.checkpoint)
    this.stop.in_loop = False
    if this.stop.asked and loop.state.global_step < this.prepared.plan.steps:
        raise Interrupted("interrupted")
    return time.monotonic() - started


def _is_needed_to_the_end(this: Run) -> bool:
    """Say whether this process continues after the last step: the first one, and all if the base is divided."""
    if this.sharded:
        # The first process must have written the last checkpoint, which may be the best.
        collective.wait_for_all()
        return True
    collective.leave()
    return collective.rank() == 0


def _save(this: Run, loop: Any, counts: "Counts", seconds: float) -> Metrics:
    """Save the adapter of the best step; return the run's figures."""
    from trainer.result import publish

    plan, examples, reporter = this.prepared.plan, this.prepared.examples, this.reporter
    lowest = loop.load_best()
    if lowest and lowest[0] < loop.state.global_step:
        reporter.line(f"the adapter is that of step {lowest[0]}, with the lowest evaluation loss")
    learned = _learned(this, loop, lowest[0] if lowest else loop.state.global_step)
    metrics: Metrics = {
        **publish.losses_of(loop.state.log_history),
        **({"best_step": lowest[0], "eval_loss": lowest[1]} if lowest else {}),
        **learned,
        "steps": loop.state.global_step,
        "epochs": round(plan.epochs * loop.state.global_step / plan.steps, 4),
        "tokens": counts.tokens,
        "trained_tokens": counts.trained_tokens,
        "rows": len(examples.lengths),
        "rows_too_long": len(examples.dropped),
        "train_seconds": round(seconds, 2),
        "memory_bytes": device.peak_bytes(plan.device.place),
        "predicted_bytes": plan.predicted_bytes,
    }
    reporter.phase("save", f"the adapter, after {clock(seconds)}")
    if collective.rank() == 0:
        publish.save_adapter(loop.model, this.prepared.tokenizer, this.new_adapter)
    if this.sharded:
        collective.wait_for_all()
    return metrics


def _learned(this: Run, loop: Any, step: int) -> Metrics:
    """Compare the kept adapter, of ``step``, with its base, and report it; return the figures."""
    from trainer.attention.of_model import own_attention
    from trainer.loop import samples
    from trainer.result import divergence, learned

    plan = this.prepared.plan
    samples.write(loop, this, label="adapter", step=step, count=this.job.samples)
    relief = out_of_memory.advice(precision=plan.precision, sharded=this.sharded)
    with (
        out_of_memory.explained("while the adapter is compared on general prompts", *relief),
        own_attention(loop.model, plan.own_attention),
    ):
        moved = divergence.measure(
            loop.model, this.prepared, step, loop.compute_loss_context_manager()
        )
    return learned.report(this.reporter, loop.state.log_history, step, moved)


def _prove(this: Run, computed: Any) -> manifest.ReloadProof:
    """Load the saved adapter on a clean base, and compare it with what the trained model ``computed``."""
    from trainer.result import proof

    note = this.reporter.note
    this.reporter.phase("proof", "loading the saved adapter on a clean base")
    relief = out_of_memory.advice(precision=this.prepared.plan.precision, sharded=this.sharded)
    with out_of_memory.explained("while the saved adapter is proved on a clean base", *relief):
        return proof.prove(
            computed, this.prepared, this.new_adapter, note=note, sharded=this.sharded
        )


def _publish(
    this: Run, history: list[dict[str, float]], metrics: Metrics, proved: manifest.ReloadProof
) -> None:
    from trainer.result import publish

    publish.publish(
        publish.Result(
            job=this.job,
            output=this.output,
            adapter=this.new_adapter,
            history=history,
            metrics=metrics,
            source=this.prepared.source,
            record=this.here,
            proof=proved,
        )
    )
    this.reporter.emit(events.Saved(path=manifest.ADAPTER))
    this.reporter.emit(events.Done(manifest=manifest.NAME))
    this.reporter.line(
        f"done: {this.output / manifest.ADAPTER}  loss {metrics['first_loss']:.4f} -> "
        f"{metrics['final_loss']:.4f}  (reloaded: logits differ by {proved.max_abs_diff:.1e})"
    )
