"""What the card's bench runs: random models and rows of real shapes, the trainer's own loop, and the seed's script."""

import gc
import math
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainer.contract.sizing.memory import Architecture
from trainer.data.encode import Examples
from trainer.data.masks import IGNORED, Encoded

MIXES = ("full rows", "multi-turn")
LONGEST, MEDIAN, SPREAD = 4096, 700, 0.8  # tokens of a row; agent episodes are log-normal
TRAINED = 0.35  # share of a multi-turn row that the assistant says
STEPS, WARM = 4, 1
# Rows of a step. 8 full rows are two micro-batches; 16 of several turns, as in the recipes, are about one.
BATCH = dict(zip(MIXES, (8, 16), strict=True))
SEED_BATCH = 8
LIMIT = 60  # seconds after which a part ends with the step that it is in


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
    """When each step ended, and the tokens seen by then; ends a training after LIMIT seconds."""

    def __init__(self, tokens: Any) -> None:
        self._tokens, self._began = tokens, time.monotonic()
        self._ends: list[tuple[float, int, int]] = []

    def callback(self) -> Any:
        import torch
        from transformers import TrainerCallback

        def note() -> bool:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self._ends.append((time.perf_counter(), *self._tokens()))
            return len(self._ends) > WARM and time.monotonic() - self._began > LIMIT

        class Watch(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, _args: Any, _state: Any, control: Any, **_kwargs: Any) -> None:
                control.should_training_stop |= note()

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


def ours(
    folder: Path, shape: Architecture, precision: str, examples: Examples, batch: int
) -> dict[str, Any]:
    """The trainer's own loop with its plan for this card, its self-test and its probe."""
    from trainer import device as devices
    from trainer import pretrained
    from trainer.contract import event_text, events
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
    job = from_sources(None, [f"max_steps={STEPS}", f"batch_size={batch}"], {"model": str(folder)})
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
    (kernels,) = [event for event in heard.events if isinstance(event, events.Kernels)]
    print(f"  {event_text.kernels(kernels)}")
    print(f"  passes of {plan.pass_tokens}, every {plan.recompute_every}, {plan.attention}")
    return {
        "rate": rate, "trained": trained, "bound": bound,
        "peak": probed.peak_bytes, "predicted": probed.predicted_bytes,
        "fused": kernels.fused_seconds and kernels.plain_seconds / kernels.fused_seconds,
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
                output_dir=output, per_device_train_batch_size=2, gradient_accumulation_steps=SEED_BATCH // 2,
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
