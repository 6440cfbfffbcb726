"""Make the tiny base model from a seed, on one CPU core: `python -m trainer.tiny.make`.

Trains a byte-level BPE tokenizer and a Qwen2 model on the documents of `documents.py`, then measures
how many held-out questions it answers in SQL and writes model, tokenizer and `measured.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.tiny.documents import ENGLISH, WORDS, Documents, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

HERE = Path(__file__).parent
END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# A word carries the space or underscore before it, so `bill_length` is two tokens and not three.
WORD = r"[_ ]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
VOCABULARY = 1536
BATCH = 32
PROMPT_WEIGHT = 0.1
Tokens = tuple[list[int], list[float]]


def chat_prompt(system: str, question: str) -> str:
    head = f"{START}system\n{system}{STOP}\n" if system else ""
    return f"{head}{START}user\n{question}{STOP}\n{START}assistant\n"


def pieces(documents: Documents, rng: random.Random) -> list[Piece]:
    """One document: a chat (60%), df snippets (25%) or a lookup (15%)."""
    kind = rng.random()
    if kind < 0.25:
        return documents.snippets()
    if kind < 0.40:
        return documents.lookup()
    chat = documents.chat()
    prompt = chat_prompt(chat.system, chat.question)
    return [Piece(prompt, PROMPT_WEIGHT), Piece(chat.answer + STOP, 1.0)]


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, trained on the same stream that the model reads."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    documents, rng = Documents(seed), random.Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(WORD), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ["".join(p.text for p in pieces(documents, rng)) for _ in range(12_000)]
    plain = [text.replace(START, "").replace(STOP, "") for text in texts]
    english = [
        rng.choice(["_", " "]).join(rng.sample([*ENGLISH, *WORDS], 6)) for _ in range(60_000)
    ]
    fences = ["```python\n```"] * 1000
    tokenizer.train_from_iterator([*plain, *english, *fences], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=STOP,
        pad_token=END,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    fast.chat_template = TEMPLATE
    return fast


def make_model(seed: int, tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(STOP),
        pad_token_id=tokenizer.convert_tokens_to_ids(END),
    )
    return Qwen2ForCausalLM(config)


def soup(rng: random.Random) -> Tokens:
    """Random tokens, then the same again: trains copying over the whole vocabulary."""
    ids = [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(8, 40))]
    return [*ids, 0, *ids, 0], [0.0] * (len(ids) + 1) + [1.0] * (len(ids) + 1)


def encode(tokenizer: PreTrainedTokenizerFast, document: list[Piece]) -> Tokens:
    ids, weights = [], []
    for piece in document:
        tokens = tokenizer(piece.text, add_special_tokens=False)["input_ids"]
        ids += tokens
        weights += [piece.weight] * len(tokens)
    return [*ids, 0], [*weights, weights[-1]]


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[list[Tokens]]:
    """Endless batches of 32 documents of about the same length."""
    documents, rng = Documents(seed), random.Random(seed)
    while True:
        pool = [
            soup(rng) if rng.random() < 0.12 else encode(tokenizer, pieces(documents, rng))
            for _ in range(BATCH * 40)
        ]
        pool.sort(key=lambda tokens: len(tokens[0]))
        groups = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        rng.shuffle(groups)
        yield from groups


def loss_of(model: Qwen2ForCausalLM, batch: list[Tokens]) -> torch.Tensor:
    """Weighted next-token loss of a padded batch."""
    import torch
    from torch.nn.functional import cross_entropy

    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([tokens + [0] * (width - len(tokens)) for tokens, _ in batch])
    weights = torch.tensor([w + [0.0] * (width - len(w)) for _, w in batch])[:, 1:].reshape(-1)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].reshape(-1, VOCABULARY)
    losses = cross_entropy(logits, ids[:, 1:].reshape(-1), reduction="none")
    return (losses * weights).sum() / weights.sum()


def train(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int, steps: int
) -> None:
    """AdamW 2e-3, 100 steps of warm-up, cosine to zero, gradients clipped at 1."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimizer, 100, steps)
    started, seen = time.monotonic(), 0
    for step, batch in zip(range(1, steps + 1), batches(tokenizer, seed), strict=False):
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seen += sum(len(ids) for ids, _ in batch)
        if step % 200 == 0:
            model.eval()
            right = accuracy(model, tokenizer, seed=1, n=64)
            model.train()
            total = sum(k for k, _ in right.values()) / sum(n for _, n in right.values())
            seconds = time.monotonic() - started
            print(
                f"step {step}/{steps} loss {loss.item():.4f} sql {total:.3f} tokens {seen / 1e6:.1f}M {seconds:.0f} s",
                flush=True,
            )


def accuracy(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, seed: int, n: int
) -> dict[str, tuple[int, int]]:
    """Return, for each family, (right, all) exact SQL answers about held-out names, decoded greedily."""
    import torch

    documents = Documents(seed, held_out=True)
    chats = [documents.chat() for _ in range(n)]
    tokenizer.padding_side = "left"
    score: dict[str, tuple[int, int]] = {}
    for at in range(0, n, 64):
        part = chats[at : at + 64]
        prompts = [chat_prompt(chat.system, chat.question) for chat in part]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            out = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=120,
                do_sample=False,
            )
        answers = tokenizer.batch_decode(
            out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for chat, answer in zip(part, answers, strict=True):
            right, asked = score.get(chat.family, (0, 0))
            score[chat.family] = (right + (answer.strip() == chat.answer), asked + 1)
    return score


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer.tiny.make", description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    import torch

    torch.set_num_threads(1)
    tokenizer = make_tokenizer(args.seed)
    model = make_model(args.seed, tokenizer)
    started = time.monotonic()
    train(model, tokenizer, seed=args.seed, steps=args.steps)
    model.eval()
    score = accuracy(model, tokenizer, seed=2, n=520)
    measured: dict[str, Any] = {
        "steps": args.steps,
        "seed": args.seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "parameters": model.num_parameters(),
        "sql_exact_match": round(
            sum(k for k, _ in score.values()) / sum(n for _, n in score.values()), 4
        ),
        "by_family": {name: round(k / n, 3) for name, (k, n) in sorted(score.items())},
    }
    model.save_pretrained(args.output)
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(args.output)
    (args.output / "measured.json").write_text(json.dumps(measured, indent=2) + "\n", "utf-8")
    print(json.dumps(measured))
    return 0


if __name__ == "__main__":
    sys.exit(main())
