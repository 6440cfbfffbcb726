"""``python -m trainer``: a job file, or the seed's flags, or a recipe; see ``--help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer import evaluation
from trainer.contract.errors import Usage, run_main
from trainer.contract.job import Job, add_flags, from_sources, given_flags
from trainer.pipe import is_supervised
from trainer.salvage import salvage
from trainer.train import train


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer", description="Train a LoRA adapter on rows of chat."
    )
    parser.add_argument("job", nargs="?", metavar="job.json", help="a resolved job")
    add_flags(parser)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--overwrite", action="store_true", help="replace the result in --output")
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="do not train: make an adapter of the job's newest checkpoint",
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    flags = given_flags(options)
    if options.resume + options.overwrite + options.salvage > 1:
        raise Usage("--resume, --overwrite and --salvage exclude each other", "give one of them")
    if options.job is not None:
        if flags or options.set or options.recipe:
            raise Usage("a job file is already resolved", "give either it or flags")
        job = Job.from_json(Path(options.job))
    else:
        job = from_sources(options.recipe, options.set, flags)

    def say(line: str) -> None:
        print(line, flush=True)

    if options.salvage:
        salvage(job, say=say)
    else:
        train(job, resume=options.resume, overwrite=options.overwrite, say=say)
        if evaluation.due(job, Path(job.output)) and not is_supervised():
            evaluation.evaluate(job)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(_main, sys.argv[1:]))
