"""Judge: plain transformers with eager attention, each row alone, on tokens that the ChatML text names."""

import json

import pytest
import torch

from tests.trainer.attention import families
from trainer.contract import events, manifest
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.job import from_sources
from trainer.result import divergence
from trainer.start_training import train

# Questions and answers; the longest row is longer than any window of a small model, the shortest is not.
WORDS = (8, 1, 3, 2)


@pytest.fixture(autouse=True)
def few_general_prompts(monkeypatch, tmp_path):
    """All of them cost more than the training here; ``test_held_out.py`` judges what they give."""
    lines = divergence.PROMPTS.read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "general.jsonl").write_text("".join(lines[:2]), "utf-8")
    monkeypatch.setattr(divergence, "PROMPTS", tmp_path / "general.jsonl")


def trained_by(tokenizer, chat):
    """The row's tokens, and which of them are the answer and its stop token."""
    whole = tokenizer(tokenizer.apply_chat_template(chat, tokenize=False))["input_ids"]
    asked = tokenizer.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    begin = len(tokenizer(asked)["input_ids"])
    end = len(whole) - whole[::-1].index(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    return torch.tensor(whole), slice(begin, end)


def plain_loss(folder, tokenizer, chats):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    losses = []
    for chat in chats:
        ids, answer = trained_by(tokenizer, chat)
        with torch.no_grad():
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].float()
        nll = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
        losses.append(nll[answer.start - 1 : answer.stop - 1])
    return float(torch.cat(losses).mean())


@pytest.fixture(scope="module")
def run_of(tokenizer_of, tmp_path_factory):
    """Trains one step on a small model of a family; returns the run's folder and the judge's loss."""

    def run(family):
        folder = tmp_path_factory.mktemp("family")
        base, output, data = folder / "base", folder / "run", folder / "rows.jsonl"
        tokenizer = tokenizer_of("chatml")
        families.save_small(family, base, tokenizer)
        chats = [
            [{"role": "user", "content": "what is the mean of price? " * n},
             {"role": "assistant", "content": "print(df.head())\n" * n}]
            for n in WORDS
        ]  # fmt: skip
        data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
        places = {"model": str(base), "data": str(data), "output": str(output)}
        settings = ["max_steps=1", f"batch_size={len(chats)}", "lr=0.05", "lora.r=4", "warmup=0"]
        job = from_sources(None, [*settings, "eval_share=0"], places)
        train(job, resume=False, overwrite=False, say=lambda _: None)
        return output, plain_loss(base, tokenizer, chats)

    return run


@pytest.mark.parametrize("family", families.THROUGH_TRAINING)
def test_the_loss_in_training_is_the_loss_in_plain_transformers(family, run_of):
    output, expected = run_of(family)
    found, _ = events.read(output / "events.jsonl")
    (step,) = [event for event in found if isinstance(event, events.Step)]
    assert step.loss == pytest.approx(expected, abs=1e-3)
    assert manifest.verify(output).complete


@pytest.mark.parametrize("family", ["Mamba", "Llama 4"])
def test_what_cannot_be_trained_is_refused_before_its_weights_are_read(family, run_of, monkeypatch):
    monkeypatch.setattr(
        "trainer.loop.loop.load_base", lambda *_, **__: pytest.fail("weights were read")
    )
    with pytest.raises(ModelUnavailable, match="cannot be trained"):
        run_of(family)
