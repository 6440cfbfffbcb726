"""The run, in order: read, tokenise, plan, load, train, save, prove, manifest."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import checkpoints, device, library_log, out_of_memory
from trainer.contract import events, manifest, resuming, validation
from trainer.contract.command import libraries
from trainer.contract.command.errors import (
    Fault,
    Interrupted,
    NoSpace,
    NotInstalled,
    is_no_space,
    no_space,
)
from trainer.contract.job import Job
from trainer.contract.rows import Rows, read_rows
from trainer.processes import collective, fsdp, local
from trainer.processes.pipe import Emitter, has_parent, open_events
from trainer.reporting import Reporter, clock
from trainer.signals import AskedByParent, StopRequest

if TYPE_CHECKING:
    from trainer.data.prepare import Prepared
    from trainer.result.proof import Trained

NEEDED = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "matplotlib",
)
NO_ROOM = ("No space left", "PytorchStreamWriter failed", "inline_container")
LOG = "train.log"
EVENTS = "events.jsonl"
JOB = "job.json"


def train(job: Job, *, resume: bool, overwrite: bool, say: Callable[[str], None]) -> None:
    """Train ``job`` into its output folder; ``say`` gets lines for people.

    Raises a ``Fault`` for every expected failure, after telling it in the folder's events too.
    """
    try:
        _train_together(job, resume=resume, overwrite=overwrite, say=say)
    except BaseException as error:
        collective.tell(error)
        raise
    collective.tell(None)


def _train_together(job: Job, *, resume: bool, overwrite: bool, say: Callable[[str], None]) -> None:
    output = Path(job.output)
    try:
        check_installed()
        libraries.prepare_environment(one_card=False)
        # First of all: what ends one from here on, bad rows too, the others hear.
        collective.meet(say)
        validation.check(job)
        if collective.rank() == 0 and not has_parent():
            checkpoints.prepare(output, resume=resume, overwrite=overwrite)
        if resume and checkpoints.complete(output):
            _already_done(job, output, say)
            return
        rows = read_rows(Path(job.data))
    except Fault as fault:
        if output.is_dir():
            with suppress(OSError, Fault), open_events(output / EVENTS) as writer:
                writer.emit(_failed(fault))
        raise
    asked = AskedByParent() if has_parent() else StopRequest()
    with open_events(output / EVENTS) as writer, asked as stop:
        collective.report_loss_to(lambda lost: writer.emit(_failed(lost)))
        try:
            if collective.rank() == 0:
                for _, mark in checkpoints.whole(output)[-1:] if resume else ():
                    checkpoints.check_resume(mark, job, rows.sha256)
                (output / JOB).write_text(job.to_json(), encoding="utf-8")
            if (count := local.wanted(job)) > 1:
                log = output / LOG
                local.train(
                    output / JOB, log, count, writer, stop, resume=resume, to_the_end=job.plan.shard
                )
                return
            libraries.prepare_environment()
            with library_log.chatter_to(output / LOG):
                reporter = _reporter(writer, say, output / LOG)
                _run(job, output, rows, reporter, stop, resume=resume)
        except BaseException as error:
            known = _as_fault(error, job)
            failed = _failed(known or Fault(f"internal error: {error!r}", f"see {LOG}"))
            # When even this cannot be written, the message on stderr is what is left.
            with suppress(OSError):
                writer.emit(failed)
            if known is None:
                raise
            if not has_parent():
                known.hint = with_command(known, output / JOB)
            if known is error:
                raise
            raise known from error


def _reporter(writer: Emitter, say: Callable[[str], None], log: Path) -> Reporter:
    """Of several processes the first speaks."""
    if collective.rank() == 0:
        return Reporter(writer, say, log)
    return Reporter(writer, lambda _: None, Path(os.devnull))


def check_installed() -> None:
    """Raise ``NotInstalled`` when the ``train`` extra is not there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"training needs {', '.join(missing)}", "install it with: pip install '.[train]'"
        )


def _failed(fault: Fault) -> events.Failed:
    cause = "\n".join([fault.cause, *fault.faults[:20]])
    settings = None if fault.settings is None else list(fault.settings)
    return events.Failed(cause=cause, hint=fault.hint, exit_code=fault.exit_code, settings=settings)


def with_command(fault: Fault, job_file: Path) -> str:
    """Return the fault's hint with the command that follows it, where one helps."""
    if fault.settings is None:
        return fault.hint
    what = "go on" if resuming.may_change(fault.settings) else "begin again"
    command = f"{what} with: {resuming.command(job_file, fault.settings)}"
    return f"{fault.hint}; {command}" if fault.hint else command


def _as_fault(error: BaseException, job: Job) -> Fault | None:
    if lost := collective.loss_behind(error):
        return lost
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return Interrupted("interrupted", settings=())
    if isinstance(error, Fault):
        return error
    if isinstance(error, OSError) and is_no_space(error):
        return no_space(error)
    if out_of_memory.recognised(error):
        return out_of_memory.fault("", "take a device with more memory", (), error)
    # safetensors and torch.save wrap the system's error in their own, with its text.
    if any(words in str(error) for words in NO_ROOM):
        return NoSpace(
            f"the disk is full while writing to {job.output}", "free some space", settings=()
        )
    return None


def _already_done(job: Job, output: Path, say: Callable[[str], None]) -> None:
    found = manifest.load(output / manifest.NAME)
    for _, mark in checkpoints.whole(output)[-1:]:
        checkpoints.check_resume(mark, job, manifest.hash_file(Path(job.data)).sha256)
    say(f"{output} is complete: {found.metrics.get('steps')} steps; nothing is left to do")


def _run(
    job: Job,
    output: Path,
    rows: Rows,
    reporter: Reporter,
    stop: StopRequest,
    *,
    resume: bool,
) -> None:
    checkpoint, mark = None, None
    if resume:
        if found := checkpoints.newest(output, reporter.warn):
            checkpoint, mark = found
            checkpoints.check_resume(mark, job, rows.sha256)
        else:
            reporter.warn("there is no checkpoint to resume from: starting from the beginning")
    leads = collective.rank() == 0
    if leads and resume:
        checkpoints.forget_newer(output, mark.step if mark else -1)
    reporter.phase("data", f"{len(rows.rows)} rows in {job.data}")
    from trainer.data.prepare import prepare
    from trainer.result import proof, publish

    collective.use_own_card()
    prepared = prepare(job, rows, mark, reporter)
    reporter.phase("model", f"loading {prepared.source.name} in {prepared.plan.precision}")
    new = output / f".{manifest.ADAPTER}.new"
    if leads:
        shutil.rmtree(new, ignore_errors=True)
    this_run = checkpoints.Mark(
        step=mark.step if mark else 0,
        job=job.model_dump(mode="json"),
        job_hash=job.hash(),
        data_sha256=rows.sha256,
        template_sha256=prepared.template_sha256,
        precision=prepared.plan.precision,
        device=prepared.plan.device.name,
        pass_tokens=prepared.plan.pass_tokens,
        processes=collective.size(),
        tokens=mark.tokens if mark else 0,
        trained_tokens=mark.trained_tokens if mark else 0,
    )
    trained = _train(
        job,
        output,
        prepared,
        reporter,
        stop,
        checkpoint=checkpoint,
        mark=mark,
        this_run=this_run,
        new=new,
    )
    if trained is None:
        return
    history, metrics, computed = trained
    reporter.phase("proof", "loading the saved adapter on a clean base")
    sharded = fsdp.wanted(job)
    relief = out_of_memory.relief(precision=prepared.plan.precision, sharded=sharded)
    with out_of_memory.explained("while the saved adapter is proved on a clean base", *relief):
        proved = proof.prove(computed, prepared, new, note=reporter.note, sharded=sharded)
    collective.leave()
    if not leads:
        return
    publish.publish(
        job,
        output,
        new,
        history=history,
        metrics=metrics,
        source=prepared.source,
        mark=this_run,
        proof=proved,
    )
    reporter.emit(events.Saved(path=manifest.ADAPTER))
    reporter.emit(events.Done(manifest=manifest.NAME))
    reporter.line(
        f"done: {output / manifest.ADAPTER}  loss {metrics['first_loss']:.4f} -> "
        f"{metrics['final_loss']:.4f}  (reloaded: logits differ by {proved.max_abs_diff:.1e})"
    )


def _train(
    job: Job,
    output: Path,
    prepared: "Prepared",
    reporter: Reporter,
    stop: StopRequest,
    *,
    checkpoint: Path | None,
    mark: checkpoints.Mark | None,
    this_run: checkpoints.Mark,
    new: Path,
) -> tuple[list[dict[str, float]], dict[str, float | int | None], "Trained"] | None:
    """Train and save the adapter to ``new``; return history, metrics and what the proof compares.

    ``None`` where that is another process's to do.
    """
    from trainer import pretrained
    from trainer.loop import speed_bound, trial_step
    from trainer.loop.callbacks import Counts, RunCallback
    from trainer.loop.loop import Loop
    from trainer.loop.samples import Samples
    from trainer.result import proof, publish

    plan, examples = prepared.plan, prepared.examples
    sharded = fsdp.wanted(job)
    counts = Counts(mark)
    if mark and (before := mark.place()) != (now := this_run.place()):
        reporter.warn(f"started on {before}, resumed on {now}: not bit-exact from here")
    bound = speed_bound.bound(pretrained.architecture(prepared.source), plan, examples, job.lora.r)
    callback = RunCallback(
        job=job,
        output=output,
        mark=this_run,
        counts=counts,
        reporter=reporter,
        stop=stop,
        evaluates=prepared.eval_examples is not None,
        bound=bound,
    )
    loop = Loop(
        job,
        prepared,
        output,
        counts=counts,
        callbacks=[callback],
        warn=reporter.warn,
        note=reporter.note,
    )
    if (held := prepared.eval_examples) is not None:
        stop_id = prepared.stop_id
        loop.add_callback(
            Samples(loop, held, job.samples, stop_id=stop_id, reporter=reporter, sharded=sharded)
        )
    if trial_step.wanted(plan):
        loop.add_callback(trial_step.Probe(loop, plan, reporter, bound))
    _announce(job, prepared, loop, reporter)
    if mark:
        reporter.phase("resume", f"after step {mark.step}")
    started = time.monotonic()
    stop.in_loop = True
    loop.run(checkpoint)
    stop.in_loop = False
    if stop.asked and loop.state.global_step < plan.steps:
        raise Interrupted("interrupted")
    if sharded:
        # The first has written all of the last checkpoint, which may be the best.
        collective.wait_for_all()
    else:
        collective.leave()
        if collective.rank() > 0:
            return None
    seconds = time.monotonic() - started
    lowest = loop.take_best()
    if lowest and lowest[0] < loop.state.global_step:
        reporter.line(f"the adapter is that of step {lowest[0]}, whose evaluation loss is lowest")
    metrics: dict[str, float | int | None] = {
        **publish.losses_of(loop.state.log_history),
        **({"best_step": lowest[0], "eval_loss": lowest[1]} if lowest else {}),
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
        publish.save_adapter(loop.model, prepared.tokenizer, new)
    if sharded:
        collective.wait_for_all()
    computed = proof.of_loop(loop, prepared.proof_rows, plan.own_attention)
    return list(loop.state.log_history), metrics, computed


def _announce(job: Job, prepared: "Prepared", loop: Any, reporter: Reporter) -> None:
    plan, examples = prepared.plan, prepared.examples
    ends = loop.model.generation_config.eos_token_id
    if prepared.stop_id not in (ends if isinstance(ends, list) else [ends]):
        reporter.warn(
            f"the base model does not stop at {prepared.stop!r}, which ends a turn in its chat "
            "template: give it as a stop token when generating"
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
        f"{trainable:,} parameters learn"
    )
