"""The proof of a GGUF file: llama.cpp tokenises, renders and predicts the run's rows as transformers does.

What ``LIMITS`` were measured on is in docs/using.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.contract.command.errors import ResultRejected
from trainer.data.masks import IGNORED
from trainer.data.templates import ChatFormat
from trainer.gguf.engine import Engine
from trainer.result.export import Measured

ROWS, TOKENS = 16, 32  # tokens of a row: llama.cpp computes one token at a time here
TURNS = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Limit:
    """``nats``: the most that log-probabilities may differ, as a mean over tokens. ``same``: the least share of
    tokens in whose place the likeliest token is the same.
    """

    nats: float
    same: float


LIMITS = {
    "bf16": Limit(0.05, 0.95),
    "q8_0": Limit(0.25, 0.85),
    "lora": Limit(0.25, 0.85),  # on a base in q8_0
    "q4_k_m": Limit(0.8, 0.65),
}
BF16_NATS = 0.1  # more, if transformers itself computes in bf16


@dataclass(frozen=True, slots=True)
class Proof:
    """Loss per token in transformers and in llama.cpp; see ``Limit`` for the rest."""

    tokens: int
    loss: float
    gguf_loss: float
    nats: float
    same: float


Predicted = list[list[tuple[float, int]]]
"""For each row, for its first trained tokens: log-probability, and the likeliest token's id."""


def predict(model: Any, rows: Sequence[tuple[list[int], list[int]]]) -> Predicted:
    """Return what a transformers model predicts for the rows of the proof."""
    import torch

    model.eval()
    found: Predicted = []
    with torch.no_grad():
        for ids, labels in rows[:ROWS]:
            at = [n for n in range(1, len(ids)) if labels[n] != IGNORED][:TOKENS]
            batch = torch.tensor([ids], device=model.device)
            logits = model(input_ids=batch, use_cache=False).logits[0, [n - 1 for n in at]]
            scores = torch.log_softmax(logits.float(), dim=-1)
            chosen = [float(scores[k, ids[n]]) for k, n in enumerate(at)]
            found.append(list(zip(chosen, scores.argmax(-1).tolist(), strict=True)))
    return found


def prove(engine: Engine, wanted: Predicted, measured: Measured, limit: Limit, name: str) -> Proof:
    """Compare ``engine`` with what transformers predicts. Raises ``ResultRejected`` if it differs too much."""
    rows = measured.rows[:ROWS]
    found = [engine.score(ids, labels, most=TOKENS) for ids, labels in rows]
    pairs = [
        pair for mine, other in zip(found, wanted, strict=True)
        for pair in zip(mine, other, strict=True)
    ]  # fmt: skip
    n = len(pairs)
    proof = Proof(
        tokens=n,
        loss=-sum(other[0] for _, other in pairs) / n,
        gguf_loss=-sum(mine.log_prob for mine, _ in pairs) / n,
        nats=sum(abs(mine.log_prob - other[0]) for mine, other in pairs) / n,
        same=sum(mine.likeliest == other[1] for mine, other in pairs) / n,
    )
    # NaN compares as false.
    if not (proof.nats <= limit.nats and proof.same >= limit.same):
        raise ResultRejected(
            f"the {name} file does not compute what the model does: {proof.nats:.2g} nats a token apart (at most "
            f"{limit.nats:.2g} is expected), the likeliest token is the same for {proof.same:.0%} (at least "
            f"{limit.same:.0%}); loss {proof.gguf_loss:.4f}, the model's {proof.loss:.4f}",
            "choose a type with more bits (--gguf bf16), or serve base and adapter instead",
        )
    return proof


def same_tokens(engine: Engine, measured: Measured) -> bool:
    """Whether llama.cpp divides the texts of all rows into the same tokens."""
    tokenizer = measured.tokenizer

    def same(ids: list[int]) -> bool:
        text = tokenizer.decode(ids, skip_special_tokens=False)
        wanted = tokenizer(text, add_special_tokens=False)["input_ids"]
        return bool(engine.tokens(text) == wanted)

    return all(same(ids) for ids, _ in measured.rows)


def check_template(engine: Engine, chat_format: ChatFormat, measured: Measured) -> None:
    """Raise ``ResultRejected`` if llama.cpp renders a row's chat differently; chats with tools are left out."""
    bos = chat_format.tokenizer.bos_token or ""
    for row in measured.chats[:ROWS]:
        last = max(n for n, one in enumerate(row.messages) if one["role"] == "assistant")
        chat = [{"role": m["role"], "content": m["content"]} for m in row.messages[:last]]
        plain = all(m["role"] in TURNS and not m.get("tool_calls") for m in row.messages)
        if row.tools or row.template or not plain:
            continue
        wanted = chat_format.render(chat, add_generation_prompt=True)
        if engine.render(chat).removeprefix(bos) != wanted.removeprefix(bos):
            raise ResultRejected(
                f"llama.cpp renders the chat of line {row.line} differently from the chat template",
                "export with --merge, and serve the merged model with transformers or vLLM",
            )
