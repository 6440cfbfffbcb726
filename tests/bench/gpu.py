"""Real shapes with random weights on the card at hand: rate, share of its bound, peak against prediction.

``python -m tests.bench.gpu`` writes a dated table; ``--toy`` runs all of it on a CPU at toy shapes, which
shows that it runs, and nothing else. Needs no network. The baseline is the seed's script made to run:
TRL with NF4, batches of 2 padded to the longer row, every token in the loss.
"""

import argparse
import dataclasses
import gc
import math
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainer.contract.sizing.memory import KNOWN, Architecture
from trainer.data.encode import Examples
from trainer.data.masks import IGNORED, Encoded

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
TOY = Architecture(
    hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=128, vocab=512, tied=True
)
MIXES = ("full rows", "multi-turn")
LONGEST, MEDIAN, SPREAD = 4096, 700, 0.8  # tokens of a row; agent episodes are log-normal
TRAINED = 0.35  # share of a multi-turn row that the assistant says
STEPS, WARM, BATCH = 8, 2, 16
SHRINK = 32  # of lengths in a toy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement; rates in tokens per second, ``why`` instead of them where it failed."""

    model: str
    precision: str
    mix: str
    way: str
    rate: float = math.nan
    trained: float = math.nan
    bound: float | None = None
    peak: int | None = None
    predicted: int | None = None
    why: str = ""

    def cells(self) -> list[str]:
        share = f"{self.rate / self.bound:.0%}" if self.bound and not self.why else ""
        peak = f"{self.peak / 1e9:.1f}" if self.peak else ""
        predicted = f"{self.predicted / 1e9:.1f}" if self.predicted else ""
        error = f"{self.peak / self.predicted - 1:+.0%}" if self.peak and self.predicted else ""
        rates = [self.why, ""] if self.why else [f"{self.rate:,.0f}", f"{self.trained:,.0f}"]
        return [
            self.model,
            self.precision,
            self.mix,
            self.way,
            *rates,
            share,
            peak,
            predicted,
            error,
        ]


HEAD = ["model", "precision", "rows", "way", "tok/s", "trained tok/s", "of bound", "peak GB",
        "predicted", "error"]  # fmt: skip


def rows_of(mix: str, count: int, shrink: int) -> Examples:
    """Random token ids: rows of LONGEST tokens all trained, or lengths and turns as episodes have."""
    rng = random.Random(0)
    examples = Examples()
    for _ in range(count):
        drawn = round(math.exp(rng.gauss(math.log(MEDIAN), SPREAD)))
        length = (LONGEST if mix == MIXES[0] else min(LONGEST, max(64, drawn))) // shrink
        ids = [rng.randrange(10, 500) for _ in range(length)]
        labels = list(ids)
        if mix != MIXES[0]:
            turns = rng.choice([1, 2, 3, 4])
            every = max(length // turns, 2)
            said = max(round(every * TRAINED), 1)
            labels = [x if at % every >= every - said else IGNORED for at, x in enumerate(ids)]
        examples.add(Encoded(ids, labels), len(examples.lengths) + 1)
    return examples


@contextmanager
def random_model(shape: Architecture, card: bool) -> Iterator[Path]:
    """A folder with a model of ``shape``, random weights in bf16, and the bundled tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from trainer.pretrained import BUNDLED

    config = AutoConfig.for_model(
        "qwen2" if shape.qkv_bias else "llama",
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim, intermediate_size=shape.ffn,
        vocab_size=shape.vocab, tie_word_embeddings=shape.tied, max_position_embeddings=32768,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        with torch.device("cuda" if card else "cpu"):
            AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(name)
        free()
        AutoTokenizer.from_pretrained(BUNDLED / "tiny" / "model").save_pretrained(name)
        yield Path(name)


def free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class Steps:
    """When each step ended, and the tokens seen by then."""

    def __init__(self, tokens: Any) -> None:
        self._tokens = tokens
        self._ends: list[tuple[float, int, int]] = []

    def callback(self) -> Any:
        import torch
        from transformers import TrainerCallback

        def note() -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._ends.append((time.perf_counter(), *self._tokens()))

        class Watch(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
                note()

        return Watch()

    def rates(self) -> tuple[float, float]:
        """Tokens and trained tokens per second after the first WARM steps."""
        (began, *first), (ended, *last) = self._ends[WARM - 1], self._ends[-1]
        seconds = ended - began
        return (last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds


class Heard:
    """Takes a run's events."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def emit(self, event: Any) -> Any:
        self.events.append(event)
        return event


def ours(folder: Path, shape: Architecture, precision: str, examples: Examples) -> dict[str, Any]:
    """The trainer's own loop with its plan for this card, its self-test and its probe."""
    from trainer import device as devices
    from trainer import pretrained
    from trainer.contract import events
    from trainer.contract.job import from_sources
    from trainer.contract.sizing.fit import fit
    from trainer.data.plan import make_plan
    from trainer.data.prepare import Prepared, rows_to_prove
    from trainer.loop import speed_bound
    from trainer.loop.callbacks import Counts
    from trainer.loop.loop import Loop
    from trainer.loop.trial_step import TrialStep
    from trainer.reporting import Reporter

    device = devices.here()
    job = from_sources(None, [f"max_steps={STEPS}", f"batch_size={BATCH}"], {"model": str(folder)})
    fitted = device.memory and fit(
        shape, card_bytes=device.memory, rank=job.lora.r, longest=max(examples.lengths),
        precision=precision,  # type: ignore[arg-type]
    )  # fmt: skip
    source = pretrained.pin(pretrained.find(job))
    plan = make_plan(
        job,
        examples.lengths,
        device=device,
        precision=precision,
        fitted=fitted or None,
        attention=pretrained.kernel(source, flash=devices.numerics(device, precision).flash),
    )
    tokenizer = pretrained.load_tokenizer(source)
    prepared = Prepared(
        source=source, tokenizer=tokenizer, template_sha256="", stop="", examples=examples,
        stop_id=tokenizer.eos_token_id, eval_examples=None, plan=plan,
        proof_rows=rows_to_prove(examples, source),
    )  # fmt: skip
    counts, heard = Counts(None), Heard()
    steps = Steps(lambda: (counts.tokens, counts.trained_tokens))
    with tempfile.TemporaryDirectory() as output:
        reporter = Reporter(heard, lambda text: print("  " + text), Path(output) / "log")
        loop = Loop(
            job,
            prepared,
            Path(output),
            counts=counts,
            callbacks=[steps.callback()],
            reporter=reporter,
        )
        bound = speed_bound.bound(shape, plan, examples, job.lora.r)
        loop.add_callback(TrialStep(loop, plan, reporter, bound))
        loop.run(None)
    rate, trained = steps.rates()
    (probed,) = [event for event in heard.events if isinstance(event, events.TrialStep)]
    print(f"  passes of {plan.pass_tokens}, every {plan.recompute_every}, {plan.attention}")
    return {
        "rate": rate, "trained": trained, "bound": bound,
        "peak": probed.peak_bytes, "predicted": probed.predicted_bytes,
    }  # fmt: skip


def seeds(folder: Path, examples: Examples, card: bool) -> dict[str, Any]:
    """The seed's script, changed only as far as TRL of today needs it to run."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    data = examples.dataset().to_dict()["input_ids"]
    trained = [
        sum(x != IGNORED for x in labels[1:]) for labels in examples.dataset().to_dict()["labels"]
    ]
    compute = torch.bfloat16 if card else torch.float32
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=compute, device_map={"": "cuda" if card else "cpu"},
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
        ),
    )  # fmt: skip
    seen = [0, 0]

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        seen[0] += sum(len(row["input_ids"]) for row in rows)
        seen[1] += sum(row["trained"] for row in rows)
        longest = max(len(row["input_ids"]) for row in rows)
        padded = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]
        mask = [[int(at < len(row["input_ids"])) for at in range(longest)] for row in rows]
        ids, seen_by = torch.tensor(padded), torch.tensor(mask)
        labels = ids.masked_fill(seen_by == 0, IGNORED)
        return {"input_ids": ids, "attention_mask": seen_by, "labels": labels}

    steps = Steps(lambda: (seen[0], seen[1]))
    with tempfile.TemporaryDirectory() as output:
        trainer = SFTTrainer(
            model=base,
            args=SFTConfig(
                output_dir=output, per_device_train_batch_size=2, gradient_accumulation_steps=4,
                max_steps=STEPS, learning_rate=2e-5, bf16=card, use_cpu=not card, max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True}, save_strategy="no",
                remove_unused_columns=False, report_to="none", disable_tqdm=True,
            ),
            train_dataset=Dataset.from_dict({"input_ids": data, "trained": trained}),
            processing_class=AutoTokenizer.from_pretrained(folder),
            data_collator=collate,
            peft_config=LoraConfig(
                r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            callbacks=[steps.callback()],
        )  # fmt: skip
        trainer.train()
    rate, of_them = steps.rates()
    return {
        "rate": rate, "trained": of_them,
        "peak": int(torch.cuda.max_memory_allocated()) if card else None,
    }  # fmt: skip


def measured(what: dict[str, Any], way: Any, *arguments: Any) -> Row:
    """What a card has no room for, or a library cannot do here, is a line of the table too."""
    free()
    try:
        return Row(**what, **way(*arguments))
    except Exception as error:  # noqa: BLE001 - the next measurement does not depend on it
        return Row(**what, why=f"{type(error).__name__}: {error}".splitlines()[0][:100])


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def pinned(found: dict[str, str]) -> bool:
    """Whether all libraries are those of constraints.txt; figures of others are kept apart."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))
    return all(found[name].partition("+")[0] == pins[name] for name in LIBRARIES)


def table(rows: list[Row], device: str, command: str) -> str:
    found = versions()
    libraries = ", ".join(f"{name} {each}" for name, each in found.items())
    unsloth = "is installed and was not run" if find_spec("unsloth") else "is not installed here"
    lines = [
        f"# {device}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"`{command}`; {libraries}: {'as pinned' if pinned(found) else 'not the pinned versions'}.",
        f"Random weights; {STEPS} steps of {BATCH} rows, of 8 in the seed's; the first {WARM} are not counted.",
        f"Padding is in no rate, and only the assistant's tokens count as trained. Unsloth {unsloth}.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *(f"| {' | '.join(row.cells())} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> Path:
    """Measure, writing the table anew after each line: what a time limit leaves is whole."""
    from trainer import device as devices
    from trainer import library_log
    from trainer.contract.command import libraries

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--toy", action="store_true", help="toy shapes, on a CPU too")
    parser.add_argument("--only", default="", help="part of a model's name")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table")
    asked = parser.parse_args(arguments)
    libraries.prepare_environment()
    library_log.use_all_threads()
    libraries.import_bitsandbytes()
    device = devices.here()
    card = device.is_card
    if not (card or asked.toy):
        parser.error("no CUDA card here: --toy runs it on this CPU, at toy shapes")
    shapes = {"toy": TOY} if asked.toy else {k: v for k, v in KNOWN.items() if asked.only in k}
    kind = "pinned" if pinned(versions()) else "other"
    slug = re.sub(r"\W+", "-", device.name.lower())
    toy = "toy-" if asked.toy else ""
    results: Path = asked.out
    place = results / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{toy}{slug}-{kind}.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m tests.bench.gpu", *arguments])
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        place.write_text(table(rows, device.name, command), encoding="utf-8")
        print(" | ".join(row.cells()), flush=True)

    for name, shape in shapes.items():
        with random_model(shape, card) as folder:
            for mix in MIXES:
                examples = rows_of(mix, STEPS * BATCH, SHRINK if asked.toy else 1)
                what = {"model": name.rpartition("/")[2], "mix": mix}
                for precision in ("bf16", "nf4"):
                    asks = what | {"precision": precision, "way": "ours"}
                    add(measured(asks, ours, folder, shape, precision, examples))
                add(
                    measured(
                        what | {"precision": "nf4", "way": "seed"}, seeds, folder, examples, card
                    )
                )
    print(place)
    return place


if __name__ == "__main__":
    main(sys.argv[1:])
