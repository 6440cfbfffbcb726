"""Real shapes with random weights on the card at hand: rate, share of its bound, peak against prediction.

``python -m tests.bench.gpu`` writes a dated table, anew after each part; ``--toy`` runs all of it on a CPU at toy
shapes, which shows that it runs, and nothing else. Needs no network. The baseline is the seed's script made to
run: TRL with NF4, batches of 2 padded to the longer row, every token in the loss. A part that is not likely to
end within ``--minutes`` is left out.
"""

import argparse
import dataclasses
import math
import re
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.gpu_parts import PARTS, Part, examples_of, seconds
from tests.bench.gpu_ways import BATCH, SEED_BATCH, STEPS, WARM, free, ours, random_model, seeds
from trainer.contract.sizing.memory import KNOWN, Architecture

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
TOY = Architecture(
    hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=128, vocab=512, tied=True
)
SHRINK = 32  # of lengths in a toy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement; rates in tokens per second, ``why`` instead of them where it failed.

    ``fused``: how many times as fast the trial step was with fused kernels; the faster way is the one measured.
    """

    model: str
    precision: str
    mix: str
    way: str
    rate: float = math.nan
    trained: float = math.nan
    bound: float | None = None
    peak: int | None = None
    predicted: int | None = None
    fused: float | None = None
    seconds: float = 0
    expected: float = 0
    why: str = ""

    def cells(self) -> list[str]:
        share = f"{self.rate / self.bound:.0%}" if self.bound and not self.why else ""
        peak = f"{self.peak / 1e9:.1f}" if self.peak else ""
        predicted = f"{self.predicted / 1e9:.1f}" if self.predicted else ""
        error = f"{self.peak / self.predicted - 1:+.0%}" if self.peak and self.predicted else ""
        rates = [self.why, ""] if self.why else [f"{self.rate:,.0f}", f"{self.trained:,.0f}"]
        return [
            self.model,
            self.precision,
            self.mix,
            self.way,
            *rates,
            share,
            peak,
            predicted,
            error,
            f"{self.fused:.2f}" if self.fused else "",
            f"{self.seconds:.0f} ({self.expected:.0f})",
        ]


HEAD = ["model", "precision", "rows", "way", "tok/s", "trained tok/s", "of bound", "peak GB",
        "predicted", "error", "fused/plain", "seconds (expected)"]  # fmt: skip


class Models:
    """Random models on disk, each made when it is first asked for, and deleted at the end."""

    def __init__(self, shapes: dict[str, Architecture], card: bool, stack: ExitStack) -> None:
        self._shapes, self.card, self._stack = shapes, card, stack
        self._made: dict[str, Path] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._made

    def folder(self, name: str) -> Path:
        if name not in self:
            made = random_model(self._shapes[name], self.card)
            self._made[name] = self._stack.enter_context(made)
        return self._made[name]


def measured(
    models: Models, name: str, shape: Architecture, part: Part, shrink: int
) -> dict[str, Any]:
    """What a card has no room for, or a library cannot do here, is a line of the table too."""
    free()
    try:
        folder, examples = models.folder(name), examples_of(part, shrink)
        if part.way == "seed":
            return seeds(folder, examples, card=models.card)
        return ours(folder, shape, part.precision, examples, BATCH[part.mix])
    except Exception as error:  # noqa: BLE001 - the next measurement does not depend on it
        return {"why": f"{type(error).__name__}: {error}".splitlines()[0][:100]}


def versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def pinned(found: dict[str, str]) -> bool:
    """Whether all libraries are those of constraints.txt; figures of others are kept apart."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))
    return all(found[name].partition("+")[0] == pins[name] for name in LIBRARIES)


def table(rows: list[Row], device: str, command: str) -> str:
    found = versions()
    libraries = ", ".join(f"{name} {each}" for name, each in found.items())
    unsloth = "is installed and was not run" if find_spec("unsloth") else "is not installed here"
    each = [f"{count} {mix.removesuffix(' rows')}" for mix, count in BATCH.items()]
    rows_a_step = f"{' or '.join(each)} rows, {SEED_BATCH} in the seed's"
    lines = [
        f"# {device}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "",
        f"`{command}`; {libraries}: {'as pinned' if pinned(found) else 'not the pinned versions'}.",
        f"Random weights; {STEPS} steps, of which the first {WARM} is not counted, of {rows_a_step}.",
        f"Padding is in no rate, and only the assistant's tokens count as trained. Unsloth {unsloth}.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *(f"| {' | '.join(row.cells())} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> Path:
    """Measure, writing the table anew after each part: what a time limit leaves is whole."""
    from trainer import device as devices
    from trainer import library_log
    from trainer.contract.command import libraries

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--toy", action="store_true", help="toy shapes, on a CPU too")
    parser.add_argument("--only", default="", help="part of a model's name")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the table")
    asked = parser.parse_args(arguments)
    libraries.prepare_environment()
    library_log.use_all_threads()
    libraries.import_bitsandbytes()
    device = devices.here()
    card = device.is_card
    if not (card or asked.toy):
        parser.error("no CUDA card here: --toy runs it on this CPU, at toy shapes")
    shapes = {"toy": TOY} if asked.toy else {k: v for k, v in KNOWN.items() if asked.only in k}
    kind = "pinned" if pinned(versions()) else "other"
    slug = re.sub(r"\W+", "-", device.name.lower())
    toy = "toy-" if asked.toy else ""
    results: Path = asked.out
    place = results / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{toy}{slug}-{kind}.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m tests.bench.gpu", *arguments])
    rows: list[Row] = []
    shrink = SHRINK if asked.toy else 1
    end = time.monotonic() + asked.minutes * 60
    with ExitStack() as stack:
        models = Models(shapes, card, stack)
        for part in PARTS:
            for name, shape in shapes.items():
                began = time.monotonic()
                expected = seconds(part, shape, device.name, saved=name in models)
                if began + expected > end:
                    found: dict[str, Any] = {"why": f"left out: {end - began:.0f} s left"}
                else:
                    found = measured(models, name, shape, part, shrink)
                took = time.monotonic() - began
                rows.append(
                    Row(
                        model=name.rpartition("/")[2], **dataclasses.asdict(part), **found,
                        seconds=took, expected=expected,
                    )
                )  # fmt: skip
                place.write_text(table(rows, device.name, command), encoding="utf-8")
                print(" | ".join(rows[-1].cells()), flush=True)
    print(place)
    return place


if __name__ == "__main__":
    main(sys.argv[1:])
