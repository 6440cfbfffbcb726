"""``keep = best``: makes the checkpoint that answers most validation questions the adapter.

It runs after training, which saves the adapter of the lowest loss, and before the evaluation. A failure is a
warning: that adapter stays. Answers are kept, so that a second run needs only the missing ones.
"""

import gc
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import checkpoints
from trainer.contract import episodes, events, manifest, resuming, validation
from trainer.contract.command import libraries
from trainer.contract.command.crash_safe_files import write_whole
from trainer.contract.command.errors import Fault, Interrupted, TrainingFailed
from trainer.contract.job import Job
from trainer.contract.sizing import evaluations
from trainer.contract.validation import Choice, Score
from trainer.data import holdout
from trainer.processes.pipe import is_supervised, open_events
from trainer.reporting import Reporter
from trainer.result import evaluation
from trainer.signals import StopRequest

PHASE, OVER = "validate", "validated"
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Candidate:
    """A whole checkpoint; ``loss``: of the held-out rows, None if it was not measured at that step."""

    folder: Path
    record: checkpoints.Record
    loss: float | None


def due(job: Job, run: Path) -> bool:
    """Whether a complete result needs a choice: the job wants one, and there is no choice or evaluation yet."""
    if job.keep != "best" or not checkpoints.complete(run):
        return False
    chosen = validation.RESULT in manifest.load(run / manifest.NAME).files
    return not chosen and not any((run / name).exists() for name in episodes.RESULTS)


def choose(job: Job, *, say: Callable[[str], None]) -> None:
    """Let every candidate answer, and make the best one the adapter. Raises ``Interrupted``."""
    run = Path(job.output)
    evaluation.free_gpu_memory()
    with open_events(run / "events.jsonl") as writer, StopRequest() as stop:
        reporter = Reporter(writer, say, run / evaluation.LOG)
        try:
            found, history = candidates(run)
            reporter.phase(PHASE, f"{len(found)} checkpoints on {job.validation}")
            scores = [_score(job, run, one, reporter) for one in found]
            stop.in_loop = True  # from here on a signal waits until the end
            _keep(job, run, found, scores, history, reporter)
        except (Fault, OSError) as fault:
            reporter.warn(warning(str(fault)))
        except KeyboardInterrupt:
            if not is_supervised():
                reporter.warn(warning("interrupted"))
            raise Interrupted(
                "interrupted during the choice of a checkpoint; the adapter of the lowest loss is complete",
                f"continue with: {resuming.command(run / 'job.json', ())}",
            ) from None


def warning(why: str) -> str:
    """Return the warning if no checkpoint was chosen."""
    return (
        f"no checkpoint was chosen by its answers ({why}): the adapter is that of the lowest loss"
    )


def candidates(run: Path) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Return the checkpoints that must answer, oldest first, and the run's history.

    They are those spaced over the run, that of the lowest loss and the newest. Raises ``TrainingFailed``
    without any.
    """
    whole = [found for found in checkpoints.whole(run) if not checkpoints.damaged(*found)]
    if not whole:
        raise TrainingFailed("the run has no whole checkpoint", "train again")
    state = json.loads((whole[-1][0] / "trainer_state.json").read_bytes())
    history: list[dict[str, Any]] = state["log_history"]
    losses = {int(e["step"]): float(e["eval_loss"]) for e in history if "eval_loss" in e}
    wanted = {*evaluations.spaced(state["max_steps"]), whole[-1][1].step}
    if lowest := holdout.best(history):
        wanted.add(lowest[0])
    return [Candidate(p, m, losses.get(m.step)) for p, m in whole if m.step in wanted], history


def best(scores: Sequence[Score]) -> Score:
    """Return the score with most right answers, of equals that of the lower loss, then the later one."""

    def rank(score: Score) -> tuple[int, float, int]:
        loss = math.inf if score.loss is None else score.loss
        return score.right, -loss, score.step

    return max(scores, key=rank)


def _score(job: Job, run: Path, one: Candidate, reporter: Reporter) -> Score:
    """Let a checkpoint answer the questions. Raises ``TrainingFailed`` if it could not."""
    assert job.validation is not None
    weights, questions = one.folder / WEIGHTS, Path(job.validation)
    both = manifest.hash_file(weights).sha256 + manifest.hash_file(questions).sha256
    # Answers of other weights, or to other questions, have another name.
    name = f"step-{one.record.step}-{hashlib.sha256(both.encode()).hexdigest()[:12]}"
    out, log = run / validation.FOLDER / name, run / evaluation.LOG
    label = f"step {one.record.step}"

    def on_event(event: events.Event) -> None:
        known = isinstance(event, events.Answers)
        reporter.emit(event.model_copy(update={"label": label}) if known else event)

    found = _result(out)
    if found is None:
        before = evaluation.size(log)
        what = [
            "--model",
            str(one.folder),
            "--episodes",
            str(questions),
            "--out",
            str(out),
            "--alone",
        ]
        code = evaluation.run_command(what, on_event, log=log)
        found = _result(out)
        if found is None:
            why = evaluation.last_error(log, before) or f"exit code {code}, see {evaluation.LOG}"
            raise TrainingFailed(f"{label}: {why}", "")
    score = Score(step=one.record.step, loss=one.loss, right=found["right"], questions=found["n"])
    reporter.tell(events.Validation(**score.model_dump()))
    return score


def _result(out: Path) -> dict[str, int] | None:
    """Return the figures of a finished evaluation; None if there is no finished one."""
    try:
        found = json.loads((out / "result.json").read_bytes())
        return {name: int(found[name]) for name in ("right", "n")} if found["finished"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(
    job: Job,
    run: Path,
    found: Sequence[Candidate],
    scores: Sequence[Score],
    history: list[dict[str, Any]],
    reporter: Reporter,
) -> None:
    whole = manifest.load(run / manifest.NAME)
    by_loss = int(whole.metrics.get("best_step") or whole.metrics["steps"] or 0)
    won = best(scores)
    choice = Choice(chosen=won.step, by_loss=by_loss, scores=[*scores])
    metrics = whole.metrics | {
        "best_step": won.step,
        "eval_loss": won.loss,
        "validation_right": won.right,
        "validation_questions": won.questions,
    }
    if won.step == by_loss:
        _write(choice, run)
        named = whole.files | manifest.hash_files(run, [validation.RESULT])
        changes = {"files": named, "metrics": metrics}
        whole.model_copy(update=changes).write(run / manifest.NAME)
    else:
        one = next(one for one in found if one.record.step == won.step)
        _publish(job, run, one, choice, metrics, history, reporter)
    others = ", ".join(f"step {s.step}: {s.right}" for s in scores)
    reporter.phase(OVER, f"step {won.step} is kept: {others} of {won.questions} right")


def _publish(
    job: Job,
    run: Path,
    one: Candidate,
    choice: Choice,
    metrics: dict[str, float | int | None],
    history: list[dict[str, Any]],
    reporter: Reporter,
) -> None:
    """Replace the adapter by a checkpoint's, after a proof that it loads."""
    libraries.prepare_environment()
    from trainer.result import from_checkpoint, learned, publish

    new = run / f".{manifest.ADAPTER}.new"
    shutil.rmtree(new, ignore_errors=True)
    from_checkpoint.copy_adapter(one.folder, new)
    from_checkpoint.check(new)
    reporter.phase("proof", f"loading the adapter of step {one.record.step} on a clean base")
    source, proof, moved = _proved(job, run, one, new)
    metrics |= learned.report(reporter, history, one.record.step, moved)
    _write(choice, run)
    publish.publish(
        publish.Result(
            job=job,
            output=run,
            adapter=new,
            history=[from_checkpoint.finite(entry) for entry in history],
            metrics=metrics,
            source=source,
            record=one.record,
            proof=proof,
            beside=[validation.RESULT],
        )
    )
    reporter.emit(events.Saved(path=manifest.ADAPTER))


def _proved(
    job: Job, run: Path, one: Candidate, new: Path
) -> tuple[Any, manifest.ReloadProof, events.Divergence | None]:
    """Return the base, the proof that the copy computes what the checkpoint does, and how far that moved the base."""
    from peft import PeftModel

    from trainer import library_log, pretrained
    from trainer.contract.rows import read_rows
    from trainer.data.prepare import prepare
    from trainer.result import divergence, proof

    silent = Reporter(_Silent(), lambda _: None, run / evaluation.LOG)
    with library_log.library_output_to(run / evaluation.LOG):
        prepared = prepare(job, read_rows(Path(job.data)), one.record, silent)
        plan = prepared.plan
        base = pretrained.load_base(prepared.source, plan.numerics, attention=plan.own_attention)
        checkpoint = PeftModel.from_pretrained(base, one.folder)
        computed = proof.Trained(proof.logits(checkpoint, prepared.proof_rows))
        moved = divergence.measure(checkpoint, prepared, one.record.step, plan.numerics.context())
        del base, checkpoint
        gc.collect()
        proved = proof.prove(computed, prepared, new, note=silent.note)
        return prepared.source, proved, moved


class _Silent:
    """Drops events that the start of the training has written already."""

    def emit(self, event: events.Event) -> events.Event:
        return event


def _write(choice: Choice, run: Path) -> None:
    write_whole(run / validation.RESULT, choice.model_dump_json(indent=2) + "\n")
