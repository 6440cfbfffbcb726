"""Makes a run's GGUF file: converts the merged model, or base and adapter, and proves the file."""

import contextlib
import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainer import device, pretrained
from trainer.contract.command import libraries
from trainer.contract.command.errors import OutputExists, ResultRejected
from trainer.contract.manifest import ADAPTER
from trainer.data.templates import learn_format
from trainer.device import numerics
from trainer.gguf import converter, proof
from trainer.gguf.engine import Engine
from trainer.result import export
from trainer.result.modelfile import modelfile

BASE, LORA = "base-q8_0.gguf", "adapter-lora.gguf"
BASE_TYPE = "q8_0"
PRE_TOKENIZERS = ("qwen2", "llama-bpe", "gpt-2")  # tried in this order for an unknown one
LARGEST_FP32 = 8e9  # bytes: a larger model computes in bf16 for the proof
SPARE = 16  # tokens of context besides the longest row


def files(out: Path, kind: str) -> list[Path]:
    """Return the files that ``make`` writes to ``out``, the Modelfile last."""
    names = [BASE, LORA] if kind == "lora" else [f"model-{kind}.gguf"]
    return [out / name for name in (*names, f"{export.MODELFILE}.{kind}")]


def make(
    run: Path,
    out: Path,
    kind: str,
    *,
    say: Callable[[str], None],
    data: Path | None = None,
    base: str | None = None,
    merged: Path | None = None,
) -> list[Path]:
    """Write the GGUF file of ``run`` to the folder ``out``, with a Modelfile; return the files.

    ``merged``: the merged model, if it is there; ``data``, ``base`` and the faults are those of ``export.merge``.
    Raises ``OutputExists`` if a file is there, and ``ResultRejected`` if llama.cpp does not compute what the model
    does; then no file is left.
    """
    converter.check_installed()
    for file in files(out, kind):
        if file.exists():
            raise OutputExists(
                f"{file} exists already", "delete it, or name another folder with --out"
            )
    scratch = out / ".new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        found = _make(run, scratch, kind, say=say, data=data, base=base, merged=merged)
        for new, file in zip(files(scratch, kind), files(out, kind), strict=True):
            new.rename(file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            out.rmdir()  # only if it is empty
    say(
        f"proven on {found.tokens} tokens: loss {found.gguf_loss:.4f} in llama.cpp, {found.loss:.4f} in "
        f"transformers; {found.nats:.2g} nats a token apart, likeliest token the same for {found.same:.1%}"
    )
    return files(out, kind)


def _make(
    run: Path,
    out: Path,
    kind: str,
    *,
    say: Callable[[str], None],
    data: Path | None,
    base: str | None,
    merged: Path | None,
) -> proof.Proof:
    measured = export.measure_with(run, data=data, base=base)
    chat_format = learn_format(measured.tokenizer)
    folder = out / "model"
    adapter = run / ADAPTER if kind == "lora" else None
    if adapter:
        say(f"reading {measured.source.name}")
        libraries.import_bitsandbytes()
        loaded = pretrained.load_base(measured.source, numerics(device.here(), export.PRECISION))
        loaded.save_pretrained(folder)
        del loaded
        gc.collect()
    elif merged:
        shutil.copytree(merged, folder, copy_function=_link)
    else:
        export.merge(run, folder, data=data, base=base, say=say)
    _save_tokenizer(measured, chat_format.stop, folder)
    place = pretrained.Source(measured.source.name, str(folder), None)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    precision = "fp32" if 2 * size <= LARGEST_FP32 else "bf16"
    model: Any = pretrained.load_base(place, numerics(device.here(), precision))
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    wanted = proof.predict(model, measured.rows)
    del model
    gc.collect()
    *written, text = files(out, kind)
    limit = proof.LIMITS[kind]
    if precision == "bf16":
        limit = proof.Limit(limit.nats + proof.BF16_NATS, limit.same - proof.BF16_NATS)
    context = max(len(ids) for ids, _ in measured.rows) + SPARE
    names = [file.name for file in written]
    text.write_text(modelfile(chat_format, *(f"./{name}" for name in names)), encoding="utf-8")
    if adapter:
        say(f"converting the adapter to {LORA}")
        converter.convert_lora(adapter, folder, written[1])
    recognised = True
    for pre in (None, *PRE_TOKENIZERS):
        say(f"converting {measured.source.name} to {names[0]}")
        try:
            converter.convert(folder, written[0], BASE_TYPE if adapter else kind, pre=pre)
        except converter.UnknownPreTokenizer:
            recognised = False
            continue
        with Engine(*written, context=context) as engine:
            if not proof.same_tokens(engine, measured):
                if recognised:
                    break
                continue
            proof.check_template(engine, chat_format, measured)
            return proof.prove(engine, wanted, measured, limit, kind)
    raise ResultRejected(
        "llama.cpp divides the text of the run's rows into other tokens than the run's tokenizer",
        "export with --merge, and serve the merged model with transformers or vLLM",
    )


def _save_tokenizer(measured: export.Measured, stop: str, folder: Path) -> None:
    """Save the run's tokenizer for the converter: a turn's stop token ends an answer, also under a rare name."""
    from transformers.utils import cached_file

    tokenizer = measured.tokenizer
    before = tokenizer.eos_token
    tokenizer.eos_token = stop
    tokenizer.save_pretrained(folder)
    tokenizer.eos_token = before
    source = measured.source
    model = cached_file(
        source.place,
        converter.TOKENIZER,
        revision=source.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if model and not (folder / converter.TOKENIZER).exists():
        shutil.copyfile(model, folder / converter.TOKENIZER)


def _link(source: str, target: str) -> None:
    """Link weights, which nothing changes; copy the small files."""
    if source.endswith(".safetensors"):
        Path(target).symlink_to(Path(source).absolute())
    else:
        shutil.copyfile(source, target)
