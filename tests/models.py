"""Writes docs/models.md from the code: `python -m tests.models`; with `--prove` each line is proven first."""

import sys
from pathlib import Path

from tests.trainer.attention import families
from trainer.contract.sizing.base_models import ALONE, REFUSED, packing, reason_in_config
from trainer.contract.sizing.shapes import from_config

FILE = Path(__file__).parent.parent / "docs" / "models.md"
LONGEST = 16_384
HOW = {
    "packed": "packed",
    "alone": "one row at a time",
    "refused": "refused",
}
HEAD = """# Which models work, and how

After this page you know how a base model is trained here, before you pay for it. `python -m tests.models` writes
the page from the code; a test compares them. [Terms](glossary.md).

`launch check` prints the same for any base, and proves it in seconds without its weights:

```bash
launch check --model Qwen/Qwen2.5-3B-Instruct --data chats.jsonl
```

It builds a small random model of the same class and config, trains it for one step as the base would be trained,
saves, verifies and reloads the adapter, and compares each result with the model's own eager attention in
plain transformers. Training does the same before it fetches the weights. If the small model fails, the base is
refused with the reason.

- **packed**: several rows share a micro-batch, and each row attends only to itself. This is the fastest way.
- **one row at a time**: each micro-batch is one row, with the model's own attention. The result is as exact;
  short rows train more slowly.
- **refused**: the base cannot be trained here.

*Window* is the number of tokens that some layers see. *Sized* is "yes" if the launcher and the planner can read
the model's shape from `config.json`; if not, the quote uses the size in the model's name ("7B") and micro-batches
have a fixed size. The table holds for rows of up to 16,384 tokens, with transformers 5.24, PEFT 0.21 and TRL 1.16,
on a CPU.

| model | `model_type` | how | window | sized | why |
| --- | --- | --- | --- | --- | --- |
"""
TAIL = """
For a model that is missing from this table, run `launch check`.
"""


def page() -> str:
    lines = []
    for family, (kind, _) in sorted(families.PUBLISHED.items(), key=lambda item: item[0].lower()):
        config = families.config_of(family)
        values = config.to_dict()
        text = values.get("text_config") or values
        window = text.get("sliding_window") or ""
        why = ALONE.get(kind) or REFUSED.get(kind) or reason_in_config(values, LONGEST)
        sized = "yes" if from_config(values) else "no"
        cells = (
            family,
            f"`{kind}`",
            HOW[packing(values, LONGEST)],
            f"{window:,}" if window else "",
            sized,
            why,
        )
        lines.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(lines) + TAIL


if __name__ == "__main__":
    if "--prove" in sys.argv:
        for name in families.PUBLISHED:
            families.prove(name, LONGEST)
            print(f"proven: {name}")
    FILE.write_text(page(), "utf-8")
