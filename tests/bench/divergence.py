"""What is usual of an adapter's divergence on general prompts: `python -m tests.bench.divergence`.

Trains SmolLM2-135M-Instruct on this project's FAQ (20 steps of 8 rows) and on pandas code that answers questions about
CSVs (10 steps: its rows are longer), with three learning rates, and prints a line a run. Takes hours on two busy cores.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.system import real_model
from trainer.contract import events
from trainer.contract.job import from_sources
from trainer.start_training import train

RATES = (2e-4, 1e-3, 5e-3)  # the default, five times as much, and too much
SETTINGS = (
    "batch_size=8",
    "samples=0",
    "eval_share=0.01",
    "early_stop=null",
    "max_length=512",
)
FAQ = Path(__file__).parents[2] / "docs" / "faq.md"


def pandas_rows(folder: Path) -> Path:
    """Write rows of verified code: template questions about invented tables."""

    def datagen(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "datagen", *words], check=True, cwd=folder)

    tables, rows = folder / "tables", folder / "pandas.jsonl"
    datagen("tables", "--out", str(tables), "--invent", "8", "--seed", "0")
    csvs = map(str, sorted(tables.glob("*.csv")))
    made = ["--out", str(folder), "--teacher", "scripted", "--prompt", "brief", "--per-table", "30"]
    datagen("episodes", *csvs, *made)
    datagen("export", str(folder / "episodes.jsonl"), "--out", str(rows))
    return rows


def faq_rows(folder: Path) -> Path:
    """Write the FAQ's messages as questions, and their next steps as answers."""
    cells = [
        line.strip("| ").split(" | ")
        for line in FAQ.read_text("utf-8").splitlines()
        if line[:2] == "| "
    ]
    rows = folder / "faq.jsonl"
    with rows.open("w", encoding="utf-8") as file:
        for message, step in (pair for pair in cells if len(pair) == 2):
            asked = {"role": "user", "content": f"What do I do about this message: {message}"}
            chat = [asked, {"role": "assistant", "content": step}]
            file.write(json.dumps({"messages": chat}) + "\n")
    return rows


def run(data: Path, steps: int, rate: float, output: Path) -> str:
    """Train, and return a line with the held-out comparison and the divergence."""
    places = {"model": str(real_model.folder()), "data": str(data), "output": str(output)}
    train(
        from_sources(None, [*SETTINGS, f"lr={rate}", f"max_steps={steps}"], places),
        resume=False,
        overwrite=False,
        say=lambda _: None,
    )
    found, _ = events.read(output / "events.jsonl")
    (moved,) = [event for event in found if isinstance(event, events.Divergence)]
    (held,) = [event for event in found if isinstance(event, events.HeldOut)]
    each = sorted(kl for _, kl in moved.each)
    return (
        f"{data.stem:8} lr {rate:.0e}  step {held.step:3}  held-out loss {held.base_loss:.2f} -> {held.loss:.2f}  "
        f"KL: least {each[0]:.3f}, median {median(each):.3f}, most {each[-1]:.3f}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data, steps in ((faq_rows(folder), 20), (pandas_rows(folder), 10)):
            for rate in RATES:
                print(run(data, steps, rate, folder / f"{data.stem}-{rate}"), flush=True)


if __name__ == "__main__":
    main()
