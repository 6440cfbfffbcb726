"""A finished run as one model: the adapter merged into its unquantised base, measured, and published.

The merged folder is loaded again from disk, and its loss on the run's own rows must be the adapter's.
"""

import gc
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import device, pretrained
from trainer.attention.agreement import Agreement, apart, largest
from trainer.attention.of_model import own_attention
from trainer.contract import manifest
from trainer.contract.command import libraries
from trainer.contract.command.errors import ModelUnavailable, NotFound, OutputExists, ResultRejected
from trainer.contract.job import Job
from trainer.contract.rows import read_rows
from trainer.data.encode import encode_rows
from trainer.data.masks import IGNORED
from trainer.data.templates import learn_format
from trainer.device import numerics
from trainer.result.modelfile import modelfile

ROWS = 32
MODELFILE = "Modelfile"
PRECISION = "bf16"


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean loss per trained token of the run's first rows, all three in bf16."""

    rows: int
    base: float
    adapter: float
    merged: float


def merge(
    run: Path,
    out: Path,
    *,
    data: Path | None,
    base: str | None = None,
    say: Callable[[str], None],
) -> Losses:
    """Write the merged model of ``run`` to the new folder ``out``, with tokenizer and Modelfile.

    ``data`` are the run's rows, and ``base`` its base model, where they lie elsewhere now. Raises ``OutputExists``; ``NotFound`` and
    ``ResultRejected`` for a run or rows that are not what they were, and for a merged model whose loss
    is not the adapter's.
    """
    if out.exists():
        raise OutputExists(f"{out} exists already", "name a new folder with --out")
    libraries.import_bitsandbytes()
    found = manifest.verify(run)
    job = Job.from_json(run / "job.json")
    if base is not None:
        job = job.model_copy(update={"model": base})
    source = pretrained.pin(pretrained.Source(job.model, _place(job), found.revision))
    max_length = min(job.max_length, source.context or job.max_length)
    tokenizer, rows = _rows(job, run, data or Path(job.data), found.data_sha256, max_length)
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
    _stop_at(whole, chat_format.stop_id)
    whole.save_pretrained(new)
    tokenizer.save_pretrained(new)
    (new / MODELFILE).write_text(modelfile(chat_format), encoding="utf-8")
    del loaded, adapted, whole
    gc.collect()
    place = pretrained.Source(job.model, str(new), None)
    merged = log_probs(pretrained.load_base(place, how), rows)
    losses = Losses(len(rows), *map(mean_loss, (plain, served, merged)))
    agreed = Agreement(
        [(len(ids), value) for (ids, _), value in zip(rows, apart(merged, served), strict=True)],
        rounding=largest(apart(eager, served)),
        fault=largest(apart(plain, served)),
    )
    if not agreed.holds:
        raise ResultRejected(
            f"the merged model differs from the adapter by {agreed.apart:.2g} nats a token, where "
            f"{agreed.limit:.2g} is rounding (loss {losses.merged:.4f}, the adapter's {losses.adapter:.4f})",
            f"serve base and adapter instead; what was merged is in {new}",
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


def _rows(
    job: Job, run: Path, data: Path, sha256: str, max_length: int
) -> tuple[Any, list[tuple[list[int], list[int]]]]:
    """The tokenizer that the run saved, and (ids, labels) of the first rows as it was trained on them."""
    try:
        rows = read_rows(data)
    except NotFound:
        raise NotFound(
            f"{data} is not there, and the merged model is measured on it", "say where with --data"
        ) from None
    if rows.sha256 != sha256:
        raise ResultRejected(
            f"{data} is not what {run} was trained on", "name the rows with --data"
        )
    tokenizer = pretrained.load_tokenizer(
        pretrained.Source(job.model, str((run / manifest.ADAPTER).absolute()), None)
    )
    examples = encode_rows(
        data,
        rows,
        learn_format(tokenizer),
        max_length=max_length,
        overlong=job.overlong,
        turns=job.turns,
    )
    shown = examples.dataset().select(range(min(ROWS, len(examples.lengths))))
    return tokenizer, [(row["input_ids"], row["labels"]) for row in shown]


def log_probs(network: Any, rows: Sequence[tuple[list[int], list[int]]]) -> list[Any]:
    """Return the log-probabilities of each row's trained tokens; a row's first token is predicted by nothing."""
    import torch

    network.eval()
    found = []
    with torch.no_grad():
        for ids, labels in rows:
            batch = torch.tensor([ids], device=network.device)
            wanted = torch.tensor(labels[1:], device=network.device)
            trained = wanted != IGNORED
            logits = network(input_ids=batch, use_cache=False).logits[0, :-1][trained].float()
            chosen = torch.log_softmax(logits, dim=-1).gather(1, wanted[trained][:, None])
            found.append(chosen[:, 0].cpu())
    return found


def mean_loss(found: Sequence[Any]) -> float:
    """Return the mean loss per trained token."""
    return -sum(float(row.sum()) for row in found) / sum(len(row) for row in found)


def _stop_at(network: Any, stop_id: int) -> None:
    """Let generation end where a turn does, whatever the base model stopped at."""
    config = network.generation_config
    ends = config.eos_token_id
    known = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if stop_id not in known:
        config.eos_token_id = [*known, stop_id]


def push(folder: Path, repository: str, *, send: bool, say: Callable[[str], None]) -> None:
    """Send ``folder`` to a private repository of the hub, made if it is not there; or only say what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    where = (
        f"https://huggingface.co/{repository} (private): {len(files)} files, {size / 1e6:.1f} MB"
    )
    if not send:
        say(f"would send to {where}")
        for path in files:
            say(f"  {path.relative_to(folder)}")
        return
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder)
    except Exception as error:  # noqa: BLE001 - the hub's client lets its HTTP library's errors through
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelUnavailable(
            f"{repository} cannot be written: {reason}",
            "check the connection, and that HF_TOKEN may write",
        ) from None
    say(f"sent to {where}")


def gguf_commands(folder: Path, kind: str) -> list[str]:
    """The two commands of llama.cpp that make a GGUF file; its converter is in no package index."""
    whole = folder / "model-bf16.gguf"
    name = kind.upper()
    return [
        "git clone https://github.com/ggml-org/llama.cpp && pip install -r llama.cpp/requirements.txt",
        f"python llama.cpp/convert_hf_to_gguf.py {folder} --outtype bf16 --outfile {whole}",
        f"llama-quantize {whole} {folder / f'model-{name}.gguf'} {name}",
    ]


def card(source: pretrained.Source, losses: Losses) -> str:
    """The merged model's card."""
    revision = f", revision `{source.revision}`" if source.revision else ""
    return f"""---
base_model: {source.place}
library_name: transformers
tags: [sft]
---
# {Path(source.name).name}, fine-tuned

A LoRA adapter merged into `{source.name}`{revision}, in {PRECISION}. Its chat template is the one that it
was trained with.

| loss per trained token, {losses.rows} rows of the training data, {PRECISION} | |
| --- | --- |
| base | {losses.base:.4f} |
| base and adapter | {losses.adapter:.4f} |
| merged | {losses.merged:.4f} |
"""
