"""Every family through whole trainings on four kinds of rows: `python -m tests.bench.families [FAMILY ...]`.

The judge is plain transformers with eager attention; a line a run: right, wrong, refused (before a step or
after), crashed. Takes about 10 minutes on one core.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.trainer.attention import families
from tests.trainer.attention.test_families import plain_loss
from tests.trainer.conftest import build_tokenizer
from trainer.contract import events
from trainer.contract.command.errors import Fault
from trainer.contract.job import from_sources
from trainer.start_training import train

# Times that question and answer are repeated in each row: short ones, long ones past any window, both, one row.
KINDS = {"short": (1, 1, 1, 1), "long": (12, 12, 9, 9), "mixed": (12, 1, 3, 2), "one": (12,)}


def run(family: str, words: tuple[int, ...], folder: Path) -> str:
    tokenizer = build_tokenizer("chatml")
    base, output, data = folder / "base", folder / "run", folder / "rows.jsonl"
    families.save_small(family, base, tokenizer)
    chats = [
        [{"role": "user", "content": "what is the mean of price? " * n},
         {"role": "assistant", "content": "print(df.head())\n" * n}]
        for n in words
    ]  # fmt: skip
    data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    places = {"model": str(base), "data": str(data), "output": str(output)}
    settings = ["max_steps=1", f"batch_size={len(chats)}", "lr=0.05", "lora.r=4", "eval_share=0"]
    try:
        train(
            from_sources(None, settings, places), resume=False, overwrite=False, say=lambda _: None
        )
    except Fault as fault:
        found, _ = events.read(output / "events.jsonl")
        late = any(isinstance(event, events.Step) for event in found)
        return f"refused {'after it was trained' if late else 'before'}: {fault.cause}"
    except Exception as error:  # noqa: BLE001 - what is counted here
        return f"crashed: {type(error).__name__}: {error}"
    found, _ = events.read(output / "events.jsonl")
    (loss,) = [event.loss for event in found if isinstance(event, events.Step)]
    apart = abs(loss - plain_loss(base, tokenizer, chats))
    return f"right: {apart:.0e}" if apart <= 1e-3 else f"wrong: {apart:.1e}"


def main() -> None:
    counts: Counter[str] = Counter()
    for family in sys.argv[1:] or families.PUBLISHED:
        for kind, words in KINDS.items():
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                found = run(family, words, Path(folder))
            counts[found.partition(":")[0]] += 1
            print(f"{family}, {kind} rows: {found} ({time.monotonic() - begun:.1f} s)", flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
