"""``python -m tests.bench.several_cards`` prints how much faster two, four and eight cards are than one, by the bound.

16 rows a step, of any length between 200 and 1,800 tokens. Nothing is measured.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product

from launcher.quote.measured import Own
from launcher.quote.speed import Work, draw, speed
from tests.bench.counted import RANK, print_table
from trainer.contract.sizing.cards import CARDS
from trainer.contract.sizing.fit import fit
from trainer.contract.sizing.memory import KNOWN

BASES = ("Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen2.5-7B-Instruct")
SHOWN = (
    "NVIDIA RTX A5000",
    "NVIDIA A100 80GB PCIe",
    "NVIDIA A100-SXM4-80GB",
    "NVIDIA H100 80GB HBM3",
)
ROWS = random.Random(0).choices(range(200, 1801), k=1024)


def table() -> Iterator[Sequence[str]]:
    yield "base", "card", "1 card, tokens/s", "2 cards", "4 cards", "8 cards"
    for base, card in product(BASES, SHOWN):
        model, memory = KNOWN[base], CARDS[card].memory * 10**9
        fitted = fit(model, card_bytes=memory, rank=RANK, longest=1800, precision="bf16")
        work = Work(
            model=model, parameters=model.parameters, rank=RANK, steps=draw(ROWS, 16), scored=0.3,
            context=sum(row * row for row in ROWS) / sum(ROWS),
        )  # fmt: skip
        one, *more = (
            speed(work, card, count=count, fitted=fitted, own=Own()).bound for count in (1, 2, 4, 8)
        )
        name = base.removeprefix("Qwen/").removesuffix("-Instruct")
        gains = (f"{rate / one:.2f} x" for rate in more)
        yield name, card.removeprefix("NVIDIA "), f"{one:,.0f}", *gains


if __name__ == "__main__":
    print_table(table)
