"""``python -m trainer``: trains a job file, or a job from flags and a recipe; ``check``, ``export``, ``serve``."""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from trainer.contract import resuming
from trainer.contract.command import libraries
from trainer.contract.command.arguments import Parser
from trainer.contract.command.end_process import end_process
from trainer.contract.command.errors import BadData, Usage, run_main
from trainer.contract.job import Job, add_flags, from_sources, given_flags
from trainer.contract.manifest import ADAPTER
from trainer.contract.result_flags import add_export_flags, add_serve_flags
from trainer.processes.pipe import is_supervised
from trainer.result import best_checkpoint, evaluation
from trainer.result.from_checkpoint import save_newest
from trainer.start_training import check_installed, train


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="job.json", help="a job file with all options")
    add_flags(parser)


def _job(options: argparse.Namespace, *, resume: bool = False, overwrite: bool = False) -> Job:
    sets, flags = options.set, given_flags(options)
    if options.job is None:
        return from_sources(options.recipe, sets, flags)
    if options.recipe or ((sets or flags) and not (resume or overwrite)):
        raise Usage("a job file has all options already", "give either a job file or flags")
    path = Path(options.job)
    if resume:
        again = f"python -m trainer {shlex.quote(str(path))} --overwrite"
        resuming.check(sets, flags, again=again)
    return resuming.changed(Job.from_json(path), sets, flags)


def _say(line: str) -> None:
    print(line, flush=True)


def _train(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m trainer",
        description="Train a LoRA adapter on rows of chat.",
        epilog="python -m trainer check shows the tokens that a job would train.",
    )
    _add_job(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the result in --output")
    parser.add_argument(
        "--from-checkpoint",
        action="store_true",
        help="do not train: make the adapter from the newest checkpoint of the job's output",
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="do not train: choose the adapter among the checkpoints, as keep = best does",
    )
    parser.first = ("--data", "--model", "--recipe", "--output", "--resume")
    parser.examples = (
        "python -m trainer --recipe tiny --data rows.jsonl --output runs/first",
        "python -m trainer runs/first/job.json --resume",
        "python -m trainer runs/first/job.json --overwrite --epochs 1",
    )
    options = parser.parse_args(argv)
    if options.resume + options.overwrite + options.from_checkpoint + options.choose > 1:
        raise Usage(
            "--resume, --overwrite, --from-checkpoint and --choose exclude each other",
            "give one of them",
        )
    job = _job(options, resume=options.resume, overwrite=options.overwrite)
    if options.from_checkpoint:
        save_newest(job, say=_say)
    elif options.choose:
        if best_checkpoint.due(job, Path(job.output)):
            best_checkpoint.choose(job, say=_say)
    else:
        train(job, resume=options.resume, overwrite=options.overwrite, say=_say)
        if best_checkpoint.due(job, Path(job.output)) and not is_supervised():
            best_checkpoint.choose(job, say=_say)
        if evaluation.due(job, Path(job.output)) and not is_supervised():
            evaluation.evaluate(job)
    return 0


def _check(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m trainer check",
        description="Show the tokens that a job would train, and report the errors that training would.",
    )
    _add_job(parser)
    parser.first = ("--data", "--model", "--recipe", "--set", "--html")
    parser.examples = (
        "python -m trainer check --data rows.jsonl",
        "python -m trainer check --recipe tiny --data rows.jsonl --html check.html",
        "python -m trainer check runs/first/job.json --json",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write an HTML page")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--all", action="store_true", help="print every fault, not one line a cause"
    )
    options = parser.parse_args(argv)
    job = _job(options)
    check_installed()
    libraries.prepare_environment()
    from trainer.data.check import check

    try:
        report = check(job, every=options.all)
    except BadData as fault:
        if options.all and fault.every:
            _say("\n".join(fault.every))
        raise
    if options.html:
        options.html.write_text(report.page(), encoding="utf-8")
    _say(json.dumps(asdict(report)) if options.json else "\n".join(report.lines(every=options.all)))
    report.raise_if_blocked()
    return 0


def _export(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m trainer export",
        description="Merge base and adapter into one model, measure it, convert it, and upload it.",
    )
    add_export_flags(parser)
    options = parser.parse_args(argv)
    if not (options.merge or options.gguf or options.push):
        raise Usage("nothing to export", "give --merge, --gguf or --push")
    check_installed()
    libraries.prepare_environment()
    from trainer import out_of_memory
    from trainer.result import export

    out = options.out or options.run / "merged"
    memory = ("while merging", "export on a machine with more memory")
    if options.merge:
        with out_of_memory.explained(*memory):
            losses = export.merge(options.run, out, data=options.data, base=options.base, say=_say)
        _say(
            f"loss per trained token on {export.rows_text(losses)}: base {losses.base:.4f}, "
            f"adapter {losses.adapter:.4f}, merged {losses.merged:.4f}"
        )
        _say(f"merged   {out}\nollama   ollama create NAME -f {out / export.MODELFILE}")
    if options.gguf:
        from trainer.gguf import export as gguf

        with out_of_memory.explained(*memory):
            *files, modelfile = gguf.make(
                options.run,
                options.out or options.run / "gguf",
                options.gguf,
                say=_say,
                data=options.data,
                base=options.base,
                merged=out if options.merge else None,
            )
        for file in files:
            _say(f"gguf     {file} ({file.stat().st_size / 1e6:,.1f} MB)")
        _say(f"ollama   ollama create NAME -f {modelfile}")
    if options.push:
        folder = out if options.merge else options.run / ADAPTER
        export.push(folder, options.push, send=not options.dry_run, say=_say)
    return 0


def _serve(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m trainer serve",
        description="Serve a run's base and adapter with OpenAI's API, in llama.cpp.",
    )
    add_serve_flags(parser)
    options = parser.parse_args(argv)
    check_installed()
    libraries.prepare_environment()
    from trainer.gguf.serve import serve

    serve(**vars(options), say=_say)
    return 0


VERBS = {"check": _check, "export": _export, "serve": _serve}


def _main(argv: Sequence[str] | None) -> int:
    arguments = list(argv or ())
    if arguments and arguments[0] in VERBS:
        return VERBS[arguments[0]](arguments[1:])
    return _train(arguments)


if __name__ == "__main__":
    end_process(run_main(_main, sys.argv[1:]))
