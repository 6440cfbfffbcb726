"""A base model and its adapter, loaded once, answering in batches through the Model protocol.

Base and adapter both read prompts through the adapter folder's tokenizer and frozen chat template.
Needs the `train` extra (torch, transformers, peft).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.models import Reply
from trainer.contract import libraries
from trainer.contract.errors import ModelUnavailable, NotFound, NotInstalled

if TYPE_CHECKING:
    from datagen.episode import Message

MAX_NEW_TOKENS = 256
BATCH = 64
# Long enough for the coroutines that a finished batch woke to ask again, so batches stay full.
GATHER_SECONDS = 0.05


def adapter_folder(path: Path) -> Path:
    """The adapter in `path`: the folder itself, or `adapter/` in a run folder. Raises NotFound."""
    for folder in (path, path / "adapter"):
        if (folder / "adapter_config.json").is_file():
            return folder
    raise NotFound(
        f"{path}: no adapter in it", "give a run folder, or a folder with adapter_config.json"
    )


class Engine:
    """The loaded weights; `base` and `adapter` are two models over them."""

    def __init__(self, path: Path) -> None:
        folder = adapter_folder(path)
        libraries.prepare_environment()
        try:
            libraries.import_bitsandbytes()
            import torch
            from peft import PeftModel
            from transformers import AutoModelForCausalLM, AutoTokenizer, logging
        except ImportError as error:
            raise NotInstalled(
                f"{error.name} is not installed",
                "to run a local model: pip install '.[train,datagen]'",
            ) from error
        logging.disable_progress_bar()
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        source = config["base_model_name_or_path"]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        try:
            base = AutoModelForCausalLM.from_pretrained(
                source, revision=config.get("revision"), dtype=dtype
            )
        except (OSError, ValueError) as error:
            raise ModelUnavailable(
                f"base model {source}: {error}", "it has to be on disk or on a reachable hub"
            ) from error
        self.weights = PeftModel.from_pretrained(base.to(self.device), folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.base = LocalModel(self, name=f"{source}", adapted=False)
        self.adapter = LocalModel(self, name=f"{source} + adapter", adapted=True)

    def complete(self, conversations: Sequence[Sequence[Message]], *, adapted: bool) -> list[Reply]:
        """Greedy replies to a batch of conversations."""
        import torch

        texts = [
            self.tokenizer.apply_chat_template(
                [m.model_dump() for m in messages], tokenize=False, add_generation_prompt=True
            )
            for messages in conversations
        ]
        inputs = self.tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self.device)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        with torch.inference_mode(), nullcontext() if adapted else self.weights.disable_adapter():
            out = self.weights.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=MAX_NEW_TOKENS,
                do_sample=False,
                eos_token_id=self.tokenizer.eos_token_id,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        written = out[:, ids.shape[1] :]
        replies = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        counts = (written != self.tokenizer.pad_token_id).sum(dim=1).tolist()
        read = mask.sum(dim=1).tolist()
        return [
            Reply(text=text, prompt_tokens=r, completion_tokens=w)
            for text, r, w in zip(replies, read, counts, strict=True)
        ]


@dataclass
class _Asked:
    messages: Sequence[Message]
    reply: asyncio.Future[Reply]


class LocalModel:
    """One of the two models; calls in flight together are answered as one batch."""

    def __init__(self, engine: Engine, *, name: str, adapted: bool) -> None:
        self.engine = engine
        self.name = name
        self.adapted = adapted
        self.waiting: list[_Asked] = []
        self.worker: asyncio.Task[None] | None = None

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        asked = _Asked([*messages], asyncio.get_running_loop().create_future())
        self.waiting.append(asked)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await asked.reply

    async def _work(self) -> None:
        """Answer batch after batch until nobody waits."""
        while self.waiting:
            await asyncio.sleep(GATHER_SECONDS)
            batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
            try:
                replies: Sequence[Any] = await asyncio.to_thread(
                    self.engine.complete, [asked.messages for asked in batch], adapted=self.adapted
                )
            except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
                for asked in batch:
                    asked.reply.set_exception(error)
            else:
                for asked, reply in zip(batch, replies, strict=True):
                    asked.reply.set_result(reply)
