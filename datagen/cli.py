"""The datagen command: each verb is a module of `datagen.verbs`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from datagen.missing_package import DATAGEN, needing, needing_all_of_datagen
from datagen.verbs import (
    card,
    chat,
    compare,
    episodes,
    evaluate,
    export,
    import_csv_agent,
    inspect,
    profile,
    questions,
    sandbox,
    score,
    split,
    tables,
)
from trainer.contract.command.arguments import Parser
from trainer.contract.command.errors import run_main

VERBS = (
    tables,
    profile,
    questions,
    episodes,
    score,
    split,
    export,
    import_csv_agent,
    card,
    inspect,
    sandbox,
    evaluate,
    compare,
    chat,
)
RUN_CODE = ("questions", "episodes", "import", "evaluate", "sandbox")


def main(argv: Sequence[str] | None = None) -> int:
    return run_main(_main, argv)


@needing_all_of_datagen()
def _main(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    with needing(DATAGEN):
        import pandas  # noqa: F401, ICN001
    if getattr(args, "sandbox", None):
        from datagen.sandbox.level import use

        use(args.sandbox)
    run: Callable[[argparse.Namespace], int] = args.run
    return run(args)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="datagen",
        description="Make verified episodes (question, attempts, verdict) from CSV files, and evaluate"
        " models on them.",
    )
    parser.examples = (
        "datagen profile data/*.csv",
        "datagen episodes data/*.csv --out episodes --max-cost 5",
        "datagen evaluate --model runs/RUN --episodes episodes/test.jsonl",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(verbs)
    for listed in verbs._choices_actions:  # noqa: SLF001 - argparse keeps a verb's line only there
        verbs.choices[listed.dest].description = listed.help
    for name in RUN_CODE:
        verbs.choices[name].add_argument(
            "--sandbox",
            metavar="WHERE",
            help="where model-written code runs: unix:PATH of a sandbox service, or a level: full, reduced, none (default:"
            " $SFT_SANDBOX, else this machine's strongest level)",
        )
    return parser
