"""TRL's SFTTrainer, given our rows and our order: loop, loss, adapter and optimizer are its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import LoraConfig
from transformers import TrainerCallback, TrainerState
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from trainer import checkpoints
from trainer.callbacks import Counts
from trainer.contract.job import Job
from trainer.model import load_base
from trainer.order import Sampler
from trainer.plan import Plan
from trainer.prepare import Prepared

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def arguments(job: Job, plan: Plan, output: Path) -> SFTConfig:
    """Name every setting on which the result depends; none is left to a default."""
    cuda = plan.device == "cuda"
    return SFTConfig(
        output_dir=str(output / checkpoints.FOLDER),
        per_device_train_batch_size=plan.micro_batch,
        per_device_eval_batch_size=plan.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=plan.steps,
        learning_rate=job.lr,
        lr_scheduler_type=SCHEDULES[job.schedule],
        warmup_steps=int(job.warmup * plan.steps),
        weight_decay=job.weight_decay,
        max_grad_norm=job.max_grad_norm,
        optim="adamw_torch_fused",
        seed=job.seed,
        data_seed=job.seed,
        bf16=plan.precision == "bf16" or (cuda and plan.precision == "nf4"),
        use_cpu=not cuda,
        dataloader_pin_memory=cuda,
        gradient_checkpointing=cuda,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        logging_steps=1,
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if job.eval_data else "no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


class Loop(SFTTrainer):
    """SFTTrainer with our order of rows and our count of tokens."""

    def __init__(
        self,
        job: Job,
        prepared: Prepared,
        output: Path,
        *,
        counts: Counts,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self._sampler = Sampler(prepared.examples.lengths, batch_size=job.batch_size, seed=job.seed)
        self._counts = counts
        plan, held_out = prepared.plan, prepared.eval_examples
        super().__init__(
            model=load_base(prepared.source, plan.precision, plan.device),
            args=arguments(job, plan, output),
            train_dataset=prepared.examples.dataset(),
            eval_dataset=held_out.dataset() if held_out else None,
            processing_class=prepared.tokenizer,
            peft_config=LoraConfig(
                r=job.lora.r,
                lora_alpha=job.lora.alpha,
                lora_dropout=job.lora.dropout,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
                revision=prepared.source.revision,
            ),
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)

    def run(self, checkpoint: Path | None) -> None:
        """Train, from ``checkpoint`` on where given."""
        if checkpoint is None:
            self.train()
            return
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if state.global_step < self.args.max_steps:
            self.train(resume_from_checkpoint=str(checkpoint))
        else:
            # The loop would take one step more than was asked for.
            self._load_from_checkpoint(str(checkpoint))
            self.state = state

    def _get_train_sampler(self, _dataset: Any = None) -> Sampler:
        return self._sampler

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        batches, trained = super().get_batch_samples(*args, **kwargs)
        self._counts.seen_trained += int(trained)
        self._counts.seen_tokens += sum(int(batch["attention_mask"].sum()) for batch in batches)
        return batches, trained

    def create_model_card(self, *_args: Any, **_kwargs: Any) -> None:
        """No card beside checkpoints: the adapter gets its own."""
