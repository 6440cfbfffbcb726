"""``python -m tests.bench.counted`` prints the memory of a step as counted on fake tensors and as the plan has it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from tests.bench import fake_card
from tests.trainer.attention.families import PUBLISHED
from trainer.contract.command import libraries
from trainer.contract.sizing.fit import recomputed
from trainer.contract.sizing.memory import Architecture, Precision, Setting, memory
from trainer.contract.sizing.shapes import from_config

BASES = ("Qwen2.5 3B", "Qwen2.5 7B", "Llama 3.2 3B", "Gemma 3 4B")
PRECISIONS: tuple[Precision, ...] = ("bf16", "nf4")
TOKENS, RANK = 8192, 32
HOW = {0: "none", 2: "half", 1: "all"}


def config_of(base: str, layers: int | None = None) -> Any:
    """The published config of the text model, with fewer layers if given."""
    from transformers import AutoConfig

    kind, values = PUBLISHED[base]
    values = deepcopy(values)
    if "text_config" in values:
        kind, values = f"{kind}_text", values["text_config"]
    longest = {"max_position_embeddings": 131072}
    few = {"num_hidden_layers": layers} if layers else {}
    return AutoConfig.for_model(kind, **longest | values | few)


def shape_of(config: Any) -> Architecture:
    """The shape that sizing reads from a config."""
    shape = from_config(config.to_dict())
    assert shape is not None
    return shape


def setting_of(shape: Architecture, precision: Precision, every: int, tokens: int) -> Setting:
    """The planner's setting of that step."""
    layers = recomputed(shape, every)
    return Setting(precision=precision, rank=RANK, tokens=tokens, recomputed=layers, upcast=False)


def memory_table() -> Iterator[Sequence[str]]:
    yield (
        "base",
        "precision",
        "layers recomputed",
        "saved, counted",
        "peak, counted",
        "peak, formula",
        "error",
    )
    for base in BASES:
        config = config_of(base)
        shape = shape_of(config)
        for precision in PRECISIONS:
            for every, how in HOW.items():
                found = fake_card.step(
                    config, precision=precision, every=every, tokens=TOKENS, rank=RANK
                )
                need = memory(shape, setting_of(shape, precision, every, TOKENS))
                planned = need.activations + need.head + need.buffers
                sizes = (f"{x / 1e9:.2f}" for x in (found.saved, found.peak, planned))
                yield base, precision, how, *sizes, f"{planned / found.peak - 1:+.1%}"


def print_table(rows: Callable[[], Iterator[Sequence[str]]]) -> None:
    """Print rows of cells, the first of which is the heading, as a table of Markdown."""
    libraries.prepare_environment()
    libraries.import_bitsandbytes()
    warnings.simplefilter("ignore")
    for number, cells in enumerate(rows()):
        print(f"| {' | '.join(cells)} |", flush=True)
        if not number:
            print(f"|{' --- |' * len(cells)}")


if __name__ == "__main__":
    print_table(memory_table)
