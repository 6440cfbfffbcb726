"""Families by kinds of chats through whole trainings: `python -m tests.bench.template_trainings [FAMILY ...]`.

Two steps on a random small model of the family's class. The judge of the trained text is transformers'
apply_chat_template with the end tokens of the published models, and of the loss plain transformers with eager
attention on those tokens. A refusal is true if the template loses what the row says. Takes 5 minutes.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from tests.bench.templates import FAMILIES, KINDS
from tests.trainer.attention import families
from tests.trainer.conftest import shipped_template
from tests.trainer.data.templates import as_passed, tokenizer_for
from tests.trainer.data.test_turns import STOPS, THOUGHT
from trainer.contract import events
from trainer.contract.command.errors import Fault
from trainer.contract.job import from_sources
from trainer.data.templates import freeze
from trainer.start_training import train

CLASSES = {
    "gemma": "Gemma 7B", "gemma3": "Gemma 3 1B", "glm4": "GLM-4 9B", "gptoss": "gpt-oss 20B", "granite": "Granite 3.3 2B",
    "mistral_v1": "Mistral 7B v0.1", "mistral_v3": "Mistral 7B v0.3", "phi3": "Phi-3 mini 4k", "phi4_mini": "Phi-4 mini",
    "qwen2_5": "Qwen2.5 3B", "qwen3": "Qwen3 4B", "qwen3_instruct_2507": "Qwen3 4B", "lfm2": "LFM2 1.2B",
    "lfm2_2_5": "LFM2 1.2B",
}  # fmt: skip
LLAMA = "Llama 3.2 3B"  # the class of the others: their own trains slowly, or there is none
ENDS = STOPS | {
    "cohere": "<|END_OF_TURN_TOKEN|>", "deepseek_r1_distill": "<｜end▁of▁sentence｜>", "lfm2": "<|im_end|>",
    "lfm2_2_5": "<|im_end|>", "llama3_1": "<|eot_id|>", "llama3_2": "<|eot_id|>", "nemotron_3_nano": "<|im_end|>",
    "qwen2_5": "<|im_end|>", "qwen3_instruct_2507": "<|im_end|>", "qwen3_5_nothink": "<|im_end|>",
    "qwen3_6": "<|im_end|>", "solar": "</s>", "vicuna": "</s>", "zephyr": "</s>",
}  # fmt: skip
CALL_ENDS = {"glm4": "<|observation|>", "glm4moe": "<|observation|>", "gptoss": "<|call|>",
             "gemma4_v5": "<|tool_response>", "gemma4_large": "<|tool_response>"}  # fmt: skip
Chat = list[dict[str, Any]]


class Judge:
    """What transformers writes for a family's chats, in whatever form of a message its template reads."""

    def __init__(self, name: str, tools: list[dict] | None) -> None:
        self.name, self.tools, self.tokenizer = name, tools, tokenizer_for(name)
        freeze(self.tokenizer)  # only the date

    def written(self, chat: Chat, *, ask: bool = False, **more: Any) -> str:
        error: Exception | None = None
        for text in (False, True):
            messages = [as_dialects(m, text=text) for m in chat]
            try:
                return str(self.tokenizer.apply_chat_template(
                    as_passed(self.name, messages), tools=self.tools, tokenize=False,
                    add_generation_prompt=ask, **more,
                ))  # fmt: skip
            except Exception as raised:  # noqa: BLE001 - what a template raises
                error = raised
        raise ValueError(error)

    def turns(self, chat: Chat) -> list[tuple[str, str]]:
        """(prompt, answer with its end) of each assistant turn."""
        found = []
        for at, message in enumerate(chat):
            if message["role"] != "assistant":
                continue
            asked, alone = self.written(chat[:at], ask=True), self.written(chat[: at + 1])
            end = (CALL_ENDS if message.get("tool_calls") else {}).get(self.name, ENDS[self.name])
            if self.name == "deepseek_r1_distill":
                training = shipped_template("deepseek_r1_distill_training")
                said = f"<think>\n{message['reasoning_content']}\n</think>\n\n{message['content']}"
                turn = [*chat[:at], {"role": "assistant", "content": said}]
                alone = (
                    asked + self.written(turn, chat_template=training).rpartition("<think>\n")[2]
                )
            elif not alone.startswith(asked):
                asked, alone = self.continued(chat, at, asked)
            answer = alone[len(asked) :]
            # SOLAR's template writes line ends after an answer, and no token.
            said = answer.partition(end)[0] if end in answer else answer.rstrip("\n")
            found.append((asked, said + end))
        return found

    def continued(self, chat: Chat, at: int, asked: str) -> tuple[str, str]:
        """(prompt, prompt and answer) where an answer does not continue the usual prompt.

        Thoughts need ``enable_thinking``, Nemotron's answers without any its opposite. Where the prompt of Gemma 4
        31B ends with an empty channel, the answer is what follows the prompt without it. Mistral moves the system
        message away from an answer.
        """
        thinks = "reasoning_content" in chat[at]
        for value in (thinks, True):
            before = self.written(chat[:at], ask=True, enable_thinking=value)
            whole = self.written(chat[: at + 1], enable_thinking=value)
            if whole.startswith(before):
                used = before if value is thinks else asked
                return used, used + whole.removeprefix(before)
        return asked, f"{asked} {chat[at]['content']}{ENDS[self.name]}"

    def loses(self, chat: Chat) -> bool:
        """Whether the template refuses the chat, leaves out some of it, or asks for thoughts that it removes."""
        try:
            text = self.written(chat)
            asks = self.written(chat[:-1], ask=True).endswith("<think>\n")
        except ValueError:
            return True
        said = [m["content"] for m in chat] + ([THOUGHT] if "reasoning_content" in chat[-1] else [])
        said += ["run_code", '"df"' if '"df"' in text else "df"] if self.tools else []
        names = self.tools and text == Judge(self.name, None).written(chat)
        return bool(names or asks) or any(one not in text for one in said)


def as_dialects(message: dict, *, text: bool) -> dict:
    """With thoughts under every name; ``text``: arguments as JSON text."""
    found = dict(message)
    if thought := found.get("reasoning_content"):
        found |= {"reasoning": thought, "thinking": thought}
    if calls := found.get("tool_calls"):
        (function,) = [call["function"] for call in calls]
        if text:
            function = function | {"arguments": json.dumps(function["arguments"])}
        found["tool_calls"] = [calls[0] | {"function": function}]
    return found


def mean_loss(base: Path, tokenizer: Any, turns: list[tuple[str, str]]) -> float:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager").eval()
    losses = []
    tokens = [[tokenizer(t, add_special_tokens=False)["input_ids"] for t in turn] for turn in turns]
    for before, after in tokens:
        turn = before + after
        # Phi-4's positions depend on the length of the whole row.
        rows = (a + b for a, b in tokens if (a + b)[: len(turn)] == turn)
        ids = torch.tensor([max(rows, key=len)])
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        nll = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        losses.append(nll[len(before) - 1 : len(turn) - 1])
    return float(torch.cat(losses).mean())


def run(name: str, chat: Chat, tools: list[dict] | None, folder: Path) -> str:
    # Mistral takes ids of nine letters and digits only.
    chat = json.loads(json.dumps(chat).replace("call_7", "call00007"))
    judge = Judge(name, tools)
    base, output, data = folder / "base", folder / "run", folder / "rows.jsonl"
    families.save_small(CLASSES.get(name, LLAMA), base, judge.tokenizer)
    data.write_text(json.dumps({"messages": chat, "tools": tools}) + "\n")
    places = {"model": str(base), "data": str(data), "output": str(output)}
    settings = ["max_steps=2", "batch_size=4", "lr=0.05", "lora.r=4", "eval_share=0"]
    try:
        job = from_sources(None, settings, places)
        train(job, resume=False, overwrite=False, say=lambda _: None)
    except Fault as fault:
        why = fault.faults[0].partition(":1: ")[2] if getattr(fault, "faults", ()) else fault.cause
        return f"refused{'' if judge.loses(chat) else ' though the template can write it'}: {why}"
    except Exception as error:  # noqa: BLE001 - what is counted here
        return f"crashed: {type(error).__name__}: {error}"
    found, _ = events.read(output / "events.jsonl")
    shown = next(event.shown for event in found if isinstance(event, events.Data))
    texts = sorted(text for row in shown for text, yes in row if yes)
    turns = judge.turns(chat)
    if texts != sorted(answer for _, answer in turns):
        return f"wrong text: {texts} for {[answer for _, answer in turns]}"
    loss = next(event.loss for event in found if isinstance(event, events.Step))
    apart = abs(loss - mean_loss(base, judge.tokenizer, turns))
    return (
        f"right: the losses differ by {apart:.0e}" if apart <= 1e-3 else f"wrong loss: {apart:.1e}"
    )


def main() -> None:
    counts: Counter[str] = Counter()
    for family in sys.argv[1:] or FAMILIES:
        for kind, (chat, tools) in KINDS.items():
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                found = run(FAMILIES[family], chat, tools, Path(folder))
            counts[found.partition(":")[0]] += 1
            print(f"{family}, {kind}: {found} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
