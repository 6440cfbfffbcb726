"""TRL's SFTTrainer with packed rows in a fixed order; loss, adapter and optimizer are TRL's.

A batch of the data loader holds all rows of one optimizer step, in every process. Each process computes its
share, packed into as few micro-batches as memory allows. If one runs out of memory, all repeat the step (or
the evaluation) with smaller micro-batches. Then the gradients are summed: the sum is that of one process
with all rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from peft.optimizers import create_loraplus_optimizer
from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from trainer import checkpoints, device, out_of_memory
from trainer.adapter import lora_config
from trainer.attention import kernels
from trainer.attention.choice import alone
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import Job
from trainer.contract.sizing import evaluations
from trainer.contract.sizing.packing import first_fit, share
from trainer.data import holdout
from trainer.data.masks import IGNORED
from trainer.data.order import Sampler
from trainer.data.plan import Plan
from trainer.data.prepare import Prepared
from trainer.loop import held_out_loss
from trainer.loop.callbacks import Counts
from trainer.loop.selftest import log_probs, prove_attention
from trainer.pretrained import load_base
from trainer.processes import collective, fsdp
from trainer.reporting import Reporter

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
Rows = list[dict[str, list[int]]]


def arguments(job: Job, plan: Plan, output: Path, *, evaluates: bool) -> SFTConfig:
    """Set every option on which the result depends; no default is used."""
    recompute = {"every_n_layers": plan.recompute_every} if plan.recompute_every else None
    return SFTConfig(
        output_dir=str(output / checkpoints.FOLDER),
        per_device_train_batch_size=job.batch_size,
        gradient_accumulation_steps=1,
        max_steps=plan.steps,
        learning_rate=job.lr,
        lr_scheduler_type=SCHEDULES[job.schedule],
        warmup_steps=int(job.warmup * plan.steps),
        weight_decay=job.weight_decay,
        max_grad_norm=job.max_grad_norm,
        optim="adamw_torch_fused",
        seed=job.seed,
        data_seed=job.seed,
        bf16=plan.numerics.autocast,
        use_cpu=plan.numerics.place == device.CPU,
        dataloader_pin_memory=plan.numerics.pin_memory,
        gradient_checkpointing=plan.recompute_every > 0,
        gradient_checkpointing_kwargs=recompute,
        max_length=None,
        # A loss that balances experts within a micro-batch would depend on the packing.
        router_aux_loss_coef=0.0,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=evaluations.every(plan.steps),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        # ``training_step`` sums the gradients of all processes, each divided by the tokens of all of them.
        average_tokens_across_devices=False,
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )


@dataclass(frozen=True, slots=True)
class StepRows:
    """The rows of one optimizer step. Not a list, because pinning and moving would visit each number in it."""

    rows: Rows


def step_rows(rows: Rows) -> dict[str, StepRows]:
    """The data collator: keeps the rows apart; they are packed later, when it is known how many fit."""
    return {"rows": StepRows(rows)}


class Loop(SFTTrainer):
    """SFTTrainer with a fixed order of rows, packed micro-batches and a count of tokens."""

    def __init__(
        self,
        job: Job,
        prepared: Prepared,
        output: Path,
        *,
        counts: Counts,
        callbacks: Sequence[TrainerCallback],
        reporter: Reporter,
    ) -> None:
        plan, examples, held_out = prepared.plan, prepared.examples, prepared.eval_examples
        self._sampler = Sampler(len(examples.lengths), seed=job.seed)
        self._same_everywhere = plan.steps, len(examples.lengths), examples.tokens
        self._job, self._plan, self._counts, self._reporter = job, plan, counts, reporter
        self._sharded = fsdp.wanted(job)
        self._held_out_lines = held_out.lines if held_out else []
        self._attention = plan.attention
        self.proof_rows = prepared.proof_rows
        self.pass_tokens = plan.pass_tokens
        # Within training steps only; the trial step may set fused ones.
        self.kernels: AbstractContextManager[Any] = nullcontext()
        self._collate = DataCollatorForLanguageModeling(
            pad_token_id=prepared.tokenizer.pad_token_id, padding_free=True
        )
        where = f"while the weights of {prepared.source.name} load in {plan.precision}"
        with out_of_memory.explained(where, *self._advice(learning=False)):
            base = load_base(
                prepared.source, plan.numerics, attention=plan.attention, sharded=self._sharded
            )
        super().__init__(
            model=base,
            args=arguments(job, plan, output, evaluates=held_out is not None),
            train_dataset=examples.dataset(),
            eval_dataset=held_out.dataset() if held_out else None,
            processing_class=prepared.tokenizer,
            data_collator=step_rows,
            peft_config=lora_config(job.lora, prepared.source.revision),
            callbacks=list(callbacks),
        )
        if self._sharded:
            fsdp.wrap(self.model)
        self.remove_callback(PrinterCallback)
        # TRL's figures of each micro-batch would wait for every process, and their numbers differ.
        self.accelerator.gather_for_metrics = lambda tensor, *_: tensor

    def run(self, checkpoint: Path | None) -> None:
        """Train, from ``checkpoint`` on if given."""
        if self._sharded:
            collective.check_same([self.pass_tokens], "the tokens of a micro-batch")
        with disable_input_dtype_casting(self.model, active=self._plan.numerics.autocast):
            relief = self._advice(learning=False)
            with out_of_memory.explained("in the self-test before the first step", *relief):
                prove_attention(self, self._reporter, sharded=self._sharded)
            with out_of_memory.explained("while training", *self._advice()):
                self._run(checkpoint)

    def _run(self, checkpoint: Path | None) -> None:
        step = int(checkpoint.name.rsplit("-")[-1]) if checkpoint else 0
        facts = [step, *self._same_everywhere]
        collective.check_same(facts, "the step to continue from, steps, rows and tokens")
        if collective.rank():
            # Each process draws different dropout.
            torch.manual_seed(self._job.seed + collective.rank())
        if checkpoint is None:
            self.train()
            return
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        over = holdout.is_over(state.log_history, self._job.early_stop)
        if state.global_step < self.args.max_steps and not over:
            self.train(resume_from_checkpoint=str(checkpoint))
        else:
            # TRL's loop would take one step too many.
            self._load_from_checkpoint(str(checkpoint))
            self.state = state

    def load_best(self) -> tuple[int, float] | None:
        """Load the checkpoint of the lowest evaluation loss; return its step and the loss."""
        lowest = holdout.best(self.state.log_history)
        if lowest is None or lowest[0] == self.state.global_step:
            return lowest
        folder = Path(self.args.output_dir) / f"checkpoint-{lowest[0]}"
        if not (folder / checkpoints.RECORD).exists():
            return None
        self._load_from_checkpoint(str(folder))
        return lowest

    def _load_from_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Load a checkpoint's adapter, and keep this one's dtype: on NF4 bf16, where PEFT would load fp32."""
        kinds = {name: w.dtype for name, w in self.model.named_parameters() if w.requires_grad}
        super()._load_from_checkpoint(*args, **kwargs)
        for name, weight in self.model.named_parameters():
            if name in kinds:
                weight.data = weight.data.to(kinds[name])

    def compute_loss_context_manager(self) -> AbstractContextManager[Any]:
        """Return the autocast for every forward pass, also for those that do not call the wrapped model."""
        return self._plan.numerics.context()

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        made: Any = self.optimizer  # type: ignore[has-type]
        if made is None and self._job.lora.plus != 1:
            self.optimizer = create_loraplus_optimizer(
                self.model,
                torch.optim.AdamW,
                lr=self.args.learning_rate,
                loraplus_lr_ratio=self._job.lora.plus,
                loraplus_weight_decay=self.args.weight_decay,
                fused=True,
            )
        return super().create_optimizer(*args, **kwargs)

    def _micro_batches(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """Pack this process's share of ``rows`` into micro-batches of at most ``pass_tokens``."""
        rows = [rows[index] for index in _shares(rows)[collective.rank()]]
        for group in first_fit([len(row["input_ids"]) for row in rows], self.pass_tokens):
            yield self.join([rows[index] for index in group])

    def join(self, rows: Rows) -> dict[str, Any]:
        """Return a micro-batch of ``rows``; for the model's own attention of one row, as plain input."""
        if kernels.packs(self._attention):
            return dict(self._collate(rows))
        (row,) = rows
        return alone(row)

    def training_step(
        self, model: Any, inputs: dict[str, StepRows], num_items_in_batch: Any = None
    ) -> Any:
        """Return the step's loss; its gradients are summed over the micro-batches."""
        rows, train_one = inputs["rows"].rows, super().training_step

        def step() -> torch.Tensor:
            model.zero_grad()
            loss = torch.tensor(0.0, device=self.args.device)
            for joined in self._micro_batches(rows):
                with self.accelerator.no_sync(model=model):
                    loss += train_one(model, joined, num_items_in_batch)
            for padding in self._padding_batches(rows):
                train_one(model, padding, num_items_in_batch * math.inf)
            return loss

        with self.kernels:
            loss = self._retry_with_smaller(step, rows, f"at step {self.state.global_step + 1}")
        collective.sum_gradients(model)
        return collective.total(loss)

    def _retry_with_smaller(
        self, work: Callable[[], torch.Tensor], rows: Rows, where: str
    ) -> torch.Tensor:
        """Return the result of ``work`` on ``rows``; repeat it with smaller micro-batches while memory runs out."""
        random_state = device.random_state()
        while True:
            result, full = None, None
            try:
                result = work()
            except Exception as error:
                if not out_of_memory.recognised(error):
                    raise
                # The error itself would keep all tensors of the micro-batch.
                full = out_of_memory.numbers(error)
                if self._sharded:
                    raise self._full(where, full) from None
            if collective.any_of([full is not None]) == [False] and result is not None:
                return result
            self._use_smaller(rows, where, full or "in another process")
            device.set_random_state(random_state)

    def _padding_batches(self, rows: Rows) -> Iterator[dict[str, Any]]:
        """Micro-batches whose loss must not count: with a divided base all processes need the same number."""
        if not self._sharded:
            return
        lengths = [len(row["input_ids"]) for row in rows]
        parts = [[lengths[index] for index in part] for part in _shares(rows)]
        counts = [len(first_fit(part, self.pass_tokens)) for part in parts]
        for _ in range(max(counts) - counts[collective.rank()]):
            yield self.join([min(rows, key=lambda row: len(row["input_ids"]))])

    def _full(self, where: str, numbers: str) -> TrainingFailed:
        """The fault with a divided base: the others wait within a forward pass, which cannot be repeated."""
        return TrainingFailed(
            f"out of memory {where} with micro-batches of {self.pass_tokens} tokens: {numbers}",
            f"use smaller micro-batches, {out_of_memory.MORE}",
            settings=[f"plan.tokens={max(self.pass_tokens // 2, 1)}"],
        )

    def _advice(self, *, learning: bool = True) -> tuple[str, tuple[str, ...]]:
        return out_of_memory.advice(
            precision=self._plan.precision,
            recompute_every=self._plan.recompute_every if learning else None,
            sharded=self._sharded,
        )

    def _use_smaller(self, rows: Rows, where: str, numbers: str) -> None:
        """Make micro-batches half as long as the longest that did not fit. Raises ``TrainingFailed``."""
        lengths = [len(row["input_ids"]) for row in rows]
        longest = max(lengths)
        groups = [
            [mine[index] for index in group]
            for mine in ([lengths[index] for index in part] for part in _shares(rows))
            for group in first_fit(mine, self.pass_tokens)
        ]
        if all(len(group) == 1 for group in groups):
            hint, settings = self._advice(learning=self.model.training)
            cause = f"out of memory {where} with one row of {longest} tokens: {numbers}"
            raise TrainingFailed(cause, hint, settings=settings)
        used = max(sum(group) for group in groups)
        # A micro-batch shorter than the longest row helps only if that row was the longest micro-batch.
        self.pass_tokens = max(used // 2, longest) if used > longest else used // 2
        device.empty_cache()
        self._reporter.warn(
            f"out of memory {where} ({numbers}): micro-batches of {self.pass_tokens} tokens from now on; "
            "the rows of a step stay the same"
        )

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Return the mean loss per trained token of the held-out rows; log it with that of each turn."""
        turns = self._held_out_turns()
        metrics = {"eval_loss": holdout.mean(turns)}
        self.log({**metrics, holdout.ADAPTER: [loss for *_, loss in turns]})
        control: Any = self.control  # type: ignore[has-type]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, control, metrics)
        return metrics

    def measure_base(self) -> float:
        """Return the same loss of the base alone; log that of each turn."""
        with self.model.disable_adapter():
            turns = self._held_out_turns()
        self.log({holdout.BASE: turns})
        return holdout.mean(turns)

    def _held_out_turns(self) -> list[holdout.Turn]:
        """Return (line of the row, tokens, nats per token) of each trained turn of the held-out rows."""
        rows, lines = list(self.eval_dataset), self._held_out_lines
        self.model.eval()

        def measure() -> torch.Tensor:
            found = held_out_loss.measure(self, rows, _shares(rows)[collective.rank()])
            for padding in self._padding_batches(rows):
                log_probs(self, padding)
            return found

        where = f"while the loss of held-out rows is measured at step {self.state.global_step}"
        summed = collective.total(self._retry_with_smaller(measure, rows, where)).tolist()
        sizes = [
            (line, end - start)
            for line, row in zip(lines, rows, strict=True)
            for start, end in held_out_loss.turns(row)
        ]
        return [
            (line, tokens, round(nats / tokens, 6))
            for (line, tokens), nats in zip(sizes, summed, strict=True)
        ]

    def _sync_replicated_trainable_parameters(self, model: Any) -> None:
        """Give every process the same adapter; ``training_step`` sums its gradients."""
        collective.copy_first([p.data for p in model.parameters() if p.requires_grad])

    def get_train_dataloader(self) -> Any:
        """Give every process all rows of each step; it selects its share later."""
        loader = super().get_train_dataloader()
        if collective.size() > 1:
            sampler = loader.batch_sampler
            # A short last step is not filled with rows from the beginning either.
            sampler.num_processes, sampler.process_index, sampler.even_batches = 1, 0, False
            # In the epoch of a resume accelerate does not find the wrapped sampler.
            sampler.set_epoch = self._sampler.set_epoch
        return loader

    def _get_train_sampler(self, _dataset: Any = None) -> Sampler:
        return self._sampler

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, StepRows]], device: Any) -> Any:
        """Count the trained tokens of the step, of all processes."""
        rows = [row for batch in batch_samples for row in batch["rows"].rows]
        trained = torch.tensor(trained_tokens(rows), device=device)
        self._counts.seen_trained += int(trained)
        self._counts.seen_tokens += sum(len(row["input_ids"]) for row in rows)
        return trained

    def create_model_card(self, *_args: Any, **_kwargs: Any) -> None:
        """Write no model card into checkpoints: publishing writes the adapter's."""


def trained_tokens(rows: Rows) -> int:
    """Return the number of labels that the loss counts: nothing predicts a row's first token."""
    return sum(len(row["labels"]) - 1 - row["labels"][1:].count(IGNORED) for row in rows)


def _shares(rows: Rows) -> list[list[int]]:
    return share([len(row["input_ids"]) for row in rows], collective.size())
