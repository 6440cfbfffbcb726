"""Exports a finished run: merges the adapter into its unquantised base, measures it, and uploads it.

The merged model is loaded again from disk, and must compute what base and adapter do, on the run's rows.
"""

import gc
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer import device, pretrained
from trainer.attention.agreement import Agreement
from trainer.attention.of_model import own_attention
from trainer.contract import manifest
from trainer.contract.command import libraries
from trainer.contract.command.errors import ModelUnavailable, NotFound, OutputExists, ResultRejected
from trainer.contract.job import Job
from trainer.contract.rows import Row, read_rows
from trainer.data.encode import encode_rows
from trainer.data.holdout import hold_out
from trainer.data.templates import learn_format
from trainer.device import numerics
from trainer.result.modelfile import modelfile
from trainer.result.proof import log_probs

ROWS = 32
MODELFILE = "Modelfile"
PRECISION = "bf16"


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean loss per trained token of the rows of ``Measured``, in bf16."""

    rows: int
    held_out: bool
    base: float
    adapter: float
    merged: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What an export is measured with: the run's first held-out rows, else its first rows.

    ``rows``: (ids, labels) as trained; ``chats``: the row of the data file of each; ``tokenizer``: as saved.
    """

    job: Job
    source: pretrained.Source
    tokenizer: Any
    held_out: bool
    rows: list[tuple[list[int], list[int]]]
    chats: list[Row]


def merge(
    run: Path, out: Path, *, data: Path | None, base: str | None = None, say: Callable[[str], None]
) -> Losses:
    """Write the merged model of ``run`` to the new folder ``out``, with tokenizer and Modelfile.

    ``data`` and ``base``: the run's rows and base model, if they were moved. Raises ``OutputExists``;
    ``NotFound`` and ``ResultRejected`` for a run or rows that are missing or have changed, and for a merged
    model that differs from the adapter.
    """
    if out.exists():
        raise OutputExists(f"{out} exists already", "name a new folder with --out")
    libraries.import_bitsandbytes()
    measured = measure_with(run, data=data, base=base)
    source, tokenizer, rows = measured.source, measured.tokenizer, measured.rows
    how = numerics(device.here(), PRECISION)
    say(f"merging {run / manifest.ADAPTER} into {source.name} in {PRECISION}")
    from peft import PeftModel

    loaded = pretrained.load_base(source, how)
    plain = log_probs(loaded, rows)
    adapted = PeftModel.from_pretrained(loaded, run / manifest.ADAPTER)
    served = log_probs(adapted, rows)
    with own_attention(adapted, "eager"):
        eager = log_probs(adapted, rows)
    whole = adapted.merge_and_unload(safe_merge=True)
    new = out.with_name(f".{out.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    chat_format = learn_format(tokenizer)
    # Generation must end where a turn does, besides the base's own stop tokens.
    config = whole.generation_config
    ends = config.eos_token_id
    known = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if chat_format.stop_id not in known:
        config.eos_token_id = [*known, chat_format.stop_id]
    whole.save_pretrained(new)
    tokenizer.save_pretrained(new)
    (new / MODELFILE).write_text(modelfile(chat_format), encoding="utf-8")
    del loaded, adapted, whole
    gc.collect()
    place = pretrained.Source(source.name, str(new), None)
    merged = log_probs(pretrained.load_base(place, how), rows)
    losses = Losses(len(rows), measured.held_out, *map(mean_loss, (plain, served, merged)))
    lengths = (len(ids) for ids, _ in rows)
    agreed = Agreement.of(lengths, merged, served, exact=eager, faulty=plain)
    if not agreed.holds:
        raise ResultRejected(
            f"the merged model differs from the adapter by {agreed.apart:.2g} nats a token, where "
            f"{agreed.limit:.2g} is rounding (loss {losses.merged:.4f}, the adapter's {losses.adapter:.4f})",
            f"serve base and adapter instead; the merged model is in {new}",
        )
    (new / "README.md").write_text(card(source, losses), encoding="utf-8")
    new.rename(out)
    return losses


def _place(job: Job) -> str:
    """Where the base is. Raises ``ModelUnavailable``, with the flag that gives another place."""
    try:
        return pretrained.find(job).place
    except ModelUnavailable as fault:
        raise ModelUnavailable(
            fault.cause, "if the base was moved, give its folder or hub id with --base"
        ) from None


def measure_with(run: Path, *, data: Path | None = None, base: str | None = None) -> Measured:
    """Verify ``run`` and return what its exports are measured with; raises as ``merge`` does."""
    found = manifest.verify(run)
    job = Job.from_json(run / "job.json")
    if base is not None:
        job = job.model_copy(update={"model": base})
    source = pretrained.pin(pretrained.Source(job.model, _place(job), found.revision))
    path = data or Path(job.data)
    try:
        rows = read_rows(path)
    except NotFound:
        raise NotFound(
            f"{path} is missing, and the exported model is measured on it",
            "give its path with --data",
        ) from None
    if rows.sha256 != found.data_sha256:
        raise ResultRejected(
            f"{path} has changed since {run} was trained on it", "give the rows with --data"
        )
    tokenizer = pretrained.load_tokenizer(
        pretrained.Source(job.model, str((run / manifest.ADAPTER).absolute()), None)
    )
    held = [] if job.eval_data else hold_out(rows.rows, share=job.eval_share, seed=job.seed)[1]
    examples = encode_rows(
        path,
        replace(rows, rows=held or rows.rows),
        learn_format(tokenizer),
        max_length=min(job.max_length, source.context or job.max_length),
        overlong=job.overlong,
        turns=job.turns,
    )
    shown = examples.dataset().select(range(min(ROWS, len(examples.lengths))))
    by_line = {row.line: row for row in rows.rows}
    return Measured(
        job=job,
        source=source,
        tokenizer=tokenizer,
        held_out=bool(held),
        rows=[(row["input_ids"], row["labels"]) for row in shown],
        chats=[by_line[line] for line in examples.lines[: len(shown)]],
    )


def mean_loss(found: Sequence[Any]) -> float:
    """Return the mean loss per trained token."""
    return -sum(float(row.sum()) for row in found) / sum(len(row) for row in found)


def push(folder: Path, repository: str, *, send: bool, say: Callable[[str], None]) -> None:
    """Upload ``folder`` to a private repository of the hub, which is made if missing; or only list the files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    where = (
        f"https://huggingface.co/{repository} (private): {len(files)} files, {size / 1e6:.1f} MB"
    )
    if not send:
        say(f"would upload to {where}")
        for path in files:
            say(f"  {path.relative_to(folder)}")
        return
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # noqa: BLE001 - the hub's client also raises its HTTP library's errors
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelUnavailable(
            f"{repository} cannot be written: {reason}",
            "check the connection, and that HF_TOKEN may write",
        ) from None
    say(f"uploaded to {where}")


def rows_text(losses: Losses) -> str:
    """Return which rows were measured, as words."""
    return f"{losses.rows} {'held-out rows' if losses.held_out else 'rows of the training data'}"


def card(source: pretrained.Source, losses: Losses) -> str:
    """Return the merged model's card."""
    revision = f", revision `{source.revision}`" if source.revision else ""
    return f"""---
base_model: {source.place}
library_name: transformers
tags: [sft]
---
# {Path(source.name).name}, fine-tuned

A LoRA adapter merged into `{source.name}`{revision}, in {PRECISION}. Its chat template is the one that it
was trained with.

| loss per trained token, {rows_text(losses)}, {PRECISION} | |
| --- | --- |
| base | {losses.base:.4f} |
| base and adapter | {losses.adapter:.4f} |
| merged | {losses.merged:.4f} |
"""
