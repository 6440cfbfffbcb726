"""Models on held-out episodes: base against adapter, or one model alone."""

from __future__ import annotations

import argparse
import gc
import json
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.verbs.arguments import whole_count
from trainer.contract.command.errors import Interrupted, OutputExists, Usage

if TYPE_CHECKING:
    from datagen.episodes.attempts import Task
    from datagen.evaluation.evaluated_models import EvaluationRequest
    from datagen.verbs.arguments import Verbs

EVALUATIONS = Path("evaluations")
API_FLAGS = frozenset(
    (
        "base_url openrouter key_name max_cost price max_tokens concurrency timeout providers"
        " reasoning_effort enforce_distillable"
    ).split()
)


def add(verbs: Verbs) -> None:
    from datagen.models.paid_api.settings import add_flags

    verb = verbs.add_parser(
        "evaluate",
        help="compare an adapter with its base model, or measure one model, on held-out episodes",
    )
    verb.add_argument(
        "--model",
        required=True,
        help="run, adapter or checkpoint folder (evaluates base and adapter; of several checkpoints the"
        " newest), model folder or hub id (evaluates that model),"
        " or with --base-url the name of a model at that API",
    )
    verb.add_argument(
        "--episodes",
        type=Path,
        required=True,
        metavar="FILE",
        help="file of held-out episodes (.jsonl)",
    )
    verb.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the results (default: the run folder, else evaluations/MODEL)",
    )
    verb.add_argument(
        "--alone",
        action="store_true",
        help="evaluate only the adapter, not its base; writes result.json",
    )
    verb.add_argument(
        "--base", metavar="MODEL", help="folder or hub id of the adapter's base model, if it moved"
    )
    verb.add_argument(
        "--engine",
        choices=("auto", "transformers", "vllm"),
        default="auto",
        help="engine for a model on this machine; auto uses vLLM if there are a vllm command and a GPU (default: auto)",
    )
    verb.add_argument(
        "--ceiling",
        nargs="?",
        const="",
        metavar="MODEL",
        help="also evaluate a strong model of the API, for comparison (default: the teacher of the settings)",
    )
    verb.add_argument(
        "--floor",
        action="store_true",
        help="also ask with empty tables, to measure how much is guessed",
    )
    verb.add_argument(
        "--probe",
        choices=["renamed"],
        help="also ask with renamed columns and resampled rows, to measure how much is memorised",
    )
    verb.add_argument(
        "--limit", type=whole_count, metavar="N", help="ask only N questions, drawn with the seed"
    )
    verb.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    verb.add_argument(
        "--seeds",
        type=whole_count,
        default=1,
        metavar="K",
        help="attempts at each question, for pass@1 and pass@K; needs --temperature (default: 1)",
    )
    verb.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        help="sampling temperature; 0 takes the most likely token (default: 0)",
    )
    verb.add_argument("--turns", type=whole_count, metavar="N", help="maximum turns per question")
    verb.add_argument(
        "--tokens",
        type=whole_count,
        metavar="N",
        help="maximum tokens of a reply (default: 256 for a model on this machine)",
    )
    verb.add_argument(
        "--max-minutes", type=float, metavar="M", help="start no question after M minutes"
    )
    verb.add_argument(
        "--max-total-tokens",
        type=whole_count,
        metavar="N",
        help="start no question after N tokens, read and written, in all runs of this command together",
    )
    verb.add_argument(
        "--overwrite",
        action="store_true",
        help="discard earlier answers and ask all questions again",
    )
    verb.add_argument("--json", action="store_true", help="print JSON")
    add_flags(verb, only=API_FLAGS)
    verb.first = ("--model", "--episodes", "--out", "--limit", "--ceiling")
    verb.examples = (
        "datagen evaluate --model runs/RUN --episodes test.jsonl",
        "datagen evaluate --model runs/RUN --episodes test.jsonl --floor --probe renamed",
        "datagen evaluate --model Qwen/Qwen2.5-3B-Instruct --episodes test.jsonl --limit 100",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episode import read_episodes
    from datagen.evaluation.evaluate import draw_tasks, tasks_of
    from datagen.evaluation.saved_results import FOLDER
    from datagen.sandbox.remote import check_tables

    if args.seeds > 1 and args.temperature == 0:
        raise Usage(
            "--seeds at temperature 0 repeats the same answers",
            "add a temperature: --temperature 0.7",
        )
    asked = _request(args)
    tasks = tasks_of(read_episodes(args.episodes), args.episodes)
    if args.limit is not None:
        tasks = draw_tasks(tasks, args.limit, seed=args.seed)
    output = args.out or _default_folder(asked)
    _check_output(output, overwrite=args.overwrite)
    probes = _probes(args, tasks, output / FOLDER / "tables")
    asked_tasks = [task for some in (tasks, *probes.values()) for task in some]
    check_tables(path for task in asked_tasks for path in task.paths)
    _print_result(_evaluate(args, asked, tasks, probes, output), output, as_json=args.json)
    return 0


def _evaluate(
    args: argparse.Namespace,
    asked: EvaluationRequest,
    tasks: list[Task],
    probes: dict[str, list[Task]],
    output: Path,
) -> dict[str, Any]:
    """The outcome. Raises Interrupted, at Ctrl-C and SIGTERM alike, with what was answered on disk."""
    from datagen.evaluation.evaluate import EvaluationLimits, evaluate
    from datagen.evaluation.evaluated_models import LEDGER, evaluated_models
    from datagen.evaluation.progress_events import EvaluationProgress, emitter
    from datagen.evaluation.saved_results import FOLDER

    limits = EvaluationLimits(
        seed=args.seed,
        seeds=args.seeds,
        turns=args.turns,
        minutes=args.max_minutes,
        tokens=args.max_total_tokens,
    )
    progress = EvaluationProgress()
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        print(f"loading {args.model}; {len(tasks)} questions", file=sys.stderr, flush=True)
        with evaluated_models(asked, output / FOLDER / LEDGER) as models:
            progress = EvaluationProgress(emitter(), {one.label: one.activity for one in models})
            return evaluate(
                tasks,
                models,
                output=output,
                watch=progress,
                limits=limits,
                probes=probes,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted; {progress.answered} answers are kept in {output / FOLDER}",
            "run the same command again: it continues with the missing questions",
        ) from None
    finally:
        gc.freeze()  # or the end of the process looks through all of the libraries, for seconds
        signal.signal(signal.SIGTERM, before)


def _request(args: argparse.Namespace) -> EvaluationRequest:
    from datagen.evaluation.evaluated_models import EvaluationRequest, is_remote
    from datagen.models.local.weights import find_model
    from datagen.models.paid_api.settings import given

    flags = given(args)
    location = None if is_remote(args.model, flags) else find_model(args.model, args.base)
    if args.alone and (location is None or location.adapter is None):
        raise Usage(f"--alone: {args.model} is not an adapter", "leave out --alone")
    return EvaluationRequest(
        model=args.model,
        location=location,
        ceiling=args.ceiling,
        tokens=args.tokens,
        temperature=args.temperature,
        engine=args.engine,
        alone=args.alone,
        flags=flags,
    )


def _default_folder(asked: EvaluationRequest) -> Path:
    """The run folder of an adapter; of a model that has none, a folder of its name."""
    if asked.location is None or asked.location.adapter is None:
        return EVALUATIONS / re.sub(r"[^\w.-]+", "-", asked.model).strip("-.")
    folder = asked.location.adapter
    return folder.parent if folder.name == "adapter" else folder


def _check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse or remove earlier results; an evaluation that a limit ended is continued."""
    from datagen.evaluation.saved_results import FOLDER, is_finished

    if output.exists() and not output.is_dir():
        raise OutputExists(f"{output} is a file", "give a folder with --out")
    if overwrite:
        shutil.rmtree(output / FOLDER, ignore_errors=True)
        return
    for name in ("comparison.json", "result.json"):
        if (output / name).exists() and is_finished(output / name):
            shown = f"show it: launch report {output}; or " if name == "comparison.json" else ""
            raise OutputExists(
                f"{output / name} already exists", f"{shown}use --overwrite, or another --out"
            )


def _probes(args: argparse.Namespace, tasks: list[Task], folder: Path) -> dict[str, list[Task]]:
    from datagen.evaluation.altered_tables import with_empty_tables, with_renamed_columns

    found = {}
    if args.floor:
        found["floor"] = with_empty_tables(tasks, folder / "floor")
    if args.probe:
        found["renamed"] = with_renamed_columns(tasks, folder / "renamed", seed=args.seed)
    return found


def _print_result(found: dict[str, Any], output: Path, *, as_json: bool) -> None:
    from datagen.evaluation.comparison_text import lines

    if as_json:
        print(json.dumps(found))
        return
    print("\n".join(lines(found)))
    if "names" in found:
        print(f"written: {output / 'comparison.json'}, {output / 'evaluation' / 'questions.jsonl'}")
    else:
        print(f"written: {output / 'result.json'}, {output / 'evaluation'}")
