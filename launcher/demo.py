"""`launch demo`: make data, train and evaluate on this machine; each step is a command that a user can type.

Bundled and synthetic tables, a scripted teacher, LoRA on the bundled tiny base model, base against
adapter on tables that neither the adapter nor the base model has seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher import report
from launcher.request import Request
from launcher.runs import run_folder
from launcher.train import train
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.event_text import clock
from trainer.contract.job import from_sources

INVENTED = 20
PER_TABLE = 90
EPOCHS = 10
ASKED = 240
# Most tokens in a row: what keeps the training to about two minutes.
MAX_LENGTH = 160
BUNDLED = ("airlines", "penguins", "planes", "seattle_weather")
HELD_OUT = ("penguins", "seattle_weather")
# What the tiny model was made for, answered without a key.
TINY = ("--families", "basic", "--prompt", "brief", "--teacher", "scripted")
PROMISED_DIFFERENCE = 0.40
PROMISED_P = 0.001


def run(*, out: Path | None, seed: int, world: World, view: View) -> int:
    """Tell the story and return 0.

    Raises the Fault of the step that fails, and TrainingFailed when the adapter is not better than
    the base by what the demo promises.
    """
    started = world.now()
    folder = out or Path("runs") / run_folder.new_id(world)
    data = folder / "data"
    story = _Story(world, view)

    view.say("1/5 tables: bundled CSVs, and synthetic ones with other names and values")
    story.datagen("tables", "--out", data / "tables", "--invent", INVENTED, "--seed", seed)
    tables = sorted((data / "tables").glob("*.csv"))
    story.datagen("profile", *(data / "tables" / f"{name}.csv" for name in BUNDLED))

    view.say(
        "2/5 episodes: template questions, answered by code in the sandbox, each answer verified"
    )
    story.datagen(
        "episodes", *tables, "--out", data, *TINY, "--per-table", PER_TABLE, "--seed", seed
    )
    held_out = [part for name in HELD_OUT for part in ("--hold-out", name)]
    story.datagen("split", data / "episodes.jsonl", *held_out, "--seed", seed)
    rows = data / "train_openai.jsonl"
    story.datagen("export", data / "train.jsonl", "--out", rows)

    view.say("3/5 training: LoRA on the bundled tiny base model, on the CPU")
    job = from_sources("tiny", flags=options(rows, folder, seed))
    request = Request(job=job, run_id=folder.name if out is None else None)
    outcome = train(request, world=world, view=view)

    view.say("4/5 evaluation: base against adapter, on tables that training has not seen")
    test = data / "test.jsonl"
    story.datagen(
        "evaluate", "--model", folder, "--episodes", test, "--limit", ASKED, "--seed", seed
    )

    comparison = json.loads((folder / "comparison.json").read_text("utf-8"))
    report.write(outcome.run)
    view.say(f"5/5 done in {clock(world.now() - started)}")
    view.result(
        {
            "state": "finished",
            "id": outcome.run.id,
            "folder": str(folder),
            "comparison": comparison,
        },
        _ending(folder, comparison),
    )
    if comparison["difference"] < PROMISED_DIFFERENCE or comparison["mcnemar_p"] >= PROMISED_P:
        raise TrainingFailed(
            f"the adapter scores {comparison['difference']:+.2f} against the base (p = {comparison['mcnemar_p']:.2g}), "
            f"but the demo promises at least +{PROMISED_DIFFERENCE:.2f}",
            f"look at {folder / 'loss.png'} and at {folder / 'evaluation'}, and please report it",
        )
    return 0


def options(rows: Path, folder: Path, seed: int) -> dict[str, object]:
    """What the demo's job sets beside the `tiny` recipe."""
    return {
        "data": str(rows),
        "output": str(folder),
        "epochs": EPOCHS,
        "max_length": MAX_LENGTH,
        "seed": seed,
    }


class _Story:
    """Shows each command and runs it on the user's terminal."""

    def __init__(self, world: World, view: View) -> None:
        self.world = world
        self.view = view

    def datagen(self, *arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        self.view.say(f"$ datagen {_shortened(words)}")
        self.world.finish(self.world.python("datagen", *words), quiet=self.view.quiet)


def _shortened(words: Sequence[str]) -> str:
    """The command with a list of tables written as the pattern that stands for it."""
    csvs = [word for word in words if word.endswith(".csv")]
    if len(csvs) <= len(BUNDLED):
        return " ".join(words)
    pattern = str(Path(csvs[0]).parent / "*.csv")
    return " ".join(pattern if word == csvs[0] else word for word in words if word not in csvs[1:])


def _ending(folder: Path, comparison: dict[str, Any]) -> list[str]:
    n, tables = comparison["n"], len(comparison["tables"])
    base, adapter = (f"{comparison[name]:.3f}" for name in ("base", "adapter"))
    gain, p = f"{comparison['difference']:+.3f}", f"{comparison['mcnemar_p']:.1g}"
    return [
        f"base {base}, adapter {adapter}, difference {gain}, exact McNemar p = {p}",
        f"report       {folder / report.NAME}",
        f"questions    {n} over {tables} tables that training has not seen",
        f"adapter      {folder / 'adapter'}",
        f"comparison   {folder / 'comparison.json'}, each question in {folder / 'evaluation'}",
        f"loss curve   {folder / 'loss.png'}",
        f"data         {folder / 'data'}",
        "the base answers the same questions in SQL: most of the difference is a learned answer format",
    ]
