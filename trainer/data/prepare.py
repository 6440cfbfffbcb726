"""What is decided before any weight is loaded: tokenizer, template, token ids and labels, plan."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer import checkpoints, device, free_memory, library_log, out_of_memory, pretrained
from trainer.attention.choice import choose
from trainer.attention.kernels import packs
from trainer.contract import events
from trainer.contract.command import libraries
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import Job
from trainer.contract.rows import Rows, read_rows
from trainer.contract.sizing.fit import Fit, fit
from trainer.contract.sizing.fit_cpu import fit_cpu, need
from trainer.contract.sizing.memory import Architecture, Precision
from trainer.data import proof_rows, token_cache
from trainer.data.encode import Examples, encode_rows
from trainer.data.holdout import hold_out
from trainer.data.lint import Found, lint
from trainer.data.masks import Encoded, preview
from trainer.data.plan import Plan, make_plan
from trainer.data.templates import ChatFormat, freeze, learn_format
from trainer.data.turns import Part
from trainer.device import Device, numerics
from trainer.processes import collective, fsdp
from trainer.reporting import Reporter, RowsDone


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything the training needs but the weights."""

    source: pretrained.Source
    tokenizer: Any
    template_sha256: str
    stop: str
    stop_id: int
    examples: Examples
    eval_examples: Examples | None
    plan: Plan
    proof_rows: list[list[int]]


@dataclass(frozen=True, slots=True)
class Opened:
    """The model's tokenizer with its template frozen; ``max_length`` is the limit of a row."""

    source: pretrained.Source
    tokenizer: Any
    template_sha256: str
    chat_format: ChatFormat
    max_length: int


def open_tokenizer(job: Job, warn: Callable[[str], None]) -> Opened:
    """Find the model and what its chats look like. Raises ``ModelUnavailable``."""
    library_log.use_all_threads()
    libraries.import_bitsandbytes()
    source = pretrained.pin(pretrained.find(job))
    tokenizer = pretrained.load_tokenizer(source)
    template_sha256 = hashlib.sha256(freeze(tokenizer).encode()).hexdigest()
    chat_format = learn_format(tokenizer)
    pretrained.choose_pad(tokenizer, chat_format.stop_id)
    max_length = min(job.max_length, source.context or job.max_length)
    if max_length < job.max_length:
        warn(f"{source.name} reads {max_length} tokens at most: that is the limit of a row")
    return Opened(source, tokenizer, template_sha256, chat_format, max_length)


def prepare(job: Job, rows: Rows, mark: checkpoints.Record | None, reporter: Reporter) -> Prepared:
    """Find the model, tokenise the rows, plan. ``mark`` is the checkpoint to resume, if any.

    Raises ``ModelUnavailable``, ``BadData``, ``ResumeRefused``.
    """
    opened = open_tokenizer(job, reporter.warn)
    source, tokenizer, chat_format = opened.source, opened.tokenizer, opened.chat_format
    max_length = opened.max_length

    def encode(path: Path, found: Rows) -> Examples:
        def make() -> Examples:
            progress = RowsDone(reporter, "data", "tokenised", len(found.rows))

            def judge(part: Part, encoded: Encoded) -> Iterator[Found]:
                if part.row.line > seen[-1]:
                    seen.append(part.row.line)
                    progress.one()
                yield from lint(part, encoded, chat_format)

            seen = [0]
            return encode_rows(
                path,
                found,
                chat_format,
                max_length=max_length,
                overlong=job.overlong,
                turns=job.turns,
                judge=judge,
            )

        name = token_cache.key(
            found, chat_format, max_length=max_length, overlong=job.overlong, turns=job.turns
        )
        examples = token_cache.or_else(name, make, reporter.note)
        for message in (*found.notes, *examples.notes):
            reporter.warn(message)
        for message in examples.warnings(len(found.rows), max_length):
            reporter.warn(f"{path}: {message}")
        return examples

    held_out: tuple[Path, Rows] | None = None
    if job.eval_data:
        held_out = Path(job.eval_data), read_rows(Path(job.eval_data))
    else:
        kept, held = hold_out(rows.rows, share=job.eval_share, seed=job.seed)
        if held:
            reporter.note(f"held out for the evaluation loss: {len(held)} of {len(rows.rows)} rows")
            held_out = Path(job.data), Rows(held, rows.sha256)
            rows = replace(rows, rows=kept)
    examples = encode(Path(job.data), rows)
    eval_examples = encode(*held_out) if held_out else None
    reporter.note(
        "first row, with the trained text between « and »:\n" + preview(examples.shown[0])
    )
    reporter.emit(events.Data(lengths=examples.histogram(), shown=examples.shown))
    target = device.here()
    fitted = _fit(job, source, target, max(examples.lengths), reporter)
    precision = (
        fitted.precision
        if fitted
        else pretrained.choose_precision(
            job.precision, source, card_bytes=target.memory, sharded=fsdp.wanted(job)
        )
    )
    if mark is not None:
        checkpoints.check_same_run(
            mark, job, template_sha256=opened.template_sha256, precision=precision
        )
    longest = max(max(found.lengths) for found in (examples, eval_examples) if found)
    choice = choose(
        pretrained.load_config(source),
        job.lora,
        longest=longest,
        packed=pretrained.kernel(source, flash=numerics(target, precision).flash),
    )
    (reporter.note if packs(choice.attention) else reporter.warn)(choice.text)
    plan = make_plan(
        job,
        examples.lengths,
        device=target,
        precision=precision,
        fitted=fitted,
        attention=choice.attention,
        processes=collective.size(),
    )
    return Prepared(
        source=source,
        tokenizer=tokenizer,
        template_sha256=opened.template_sha256,
        stop=chat_format.stop,
        stop_id=chat_format.stop_id,
        examples=examples,
        eval_examples=eval_examples,
        plan=plan,
        proof_rows=rows_to_prove(examples, source),
    )


def rows_to_prove(examples: Examples, source: pretrained.Source) -> list[list[int]]:
    """Return the token ids on which attention and the saved adapter are proved."""
    chosen = proof_rows.choose(examples.lengths, pretrained.window(source))
    found = examples.rows([number for number, _ in chosen])
    return [ids[:most] for ids, (_, most) in zip(found, chosen, strict=True)]


def _fit(
    job: Job, source: pretrained.Source, target: Device, longest: int, reporter: Reporter
) -> Fit | None:
    """How the run fits the device's memory; None for a model whose shape sizing does not know."""
    shape = pretrained.architecture(source)
    if shape is not None and not target.is_card and not fsdp.wanted(job):
        return _fit_cpu(job, source.name, shape, longest, reporter)
    if target.memory is None or shape is None:
        return None
    asked = None if job.precision == "auto" else job.precision
    found = fit(
        shape,
        card_bytes=target.memory,
        rank=job.lora.r,
        longest=longest,
        precision=asked,
        shards=collective.size() if fsdp.wanted(job) else 1,
    )
    if not found.fits:
        reporter.warn(
            f"{source.name} with rows of {longest} tokens is expected to need "
            f"{found.need.total / 1e9:.1f} GB, and {target.name} has {target.memory / 1e9:.1f}: "
            "it may run out of memory"
        )
    return found


def _fit_cpu(
    job: Job, name: str, shape: Architecture, longest: int, reporter: Reporter
) -> Fit | None:
    """How the run fits the memory that is free, of which each process has its share.

    Raises ``TrainingFailed`` where the longest row cannot fit.
    """
    if (left := free_memory.free()) is None:
        return None
    left //= collective.size()
    precision: Precision = "fp32" if job.precision == "auto" else job.precision
    found = fit_cpu(shape, free_bytes=left, rank=job.lora.r, longest=longest, precision=precision)
    alive = need(shape, precision, job.lora.r, 1, longest, held=1.0).total
    what = f"{name} in {precision} with a row of {longest} tokens"
    if alive > left:
        hint, settings = out_of_memory.advice(precision=precision)
        raise TrainingFailed(
            f"{what} needs at least {alive / 1e9:.1f} GB, and {left / 1e9:.1f} GB are free",
            f"leave out longer rows with a smaller max_length, or {hint}",
            settings=settings,
        )
    if not found.fits:
        reporter.warn(
            f"{what} is expected to need {found.need.total / 1e9:.1f} GB, and {left / 1e9:.1f} GB are "
            "free: it may run out of memory"
        )
    return found
