"""Ask questions about CSV files, have them answered, and keep the answers that are verified."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from datagen.verbs.arguments import add_question_flags, families_of, share, whole_count
from datagen.verbs.reading_flags import add_reading_flags, profiles_of
from datagen.verbs.teacher_flags import account_of, add_teacher_flags
from trainer.contract.command.errors import (
    BadData,
    Interrupted,
    OutputExists,
    TeacherUnavailable,
    Usage,
)

if TYPE_CHECKING:
    from datagen.episodes.attempts import AttemptRules
    from datagen.episodes.make_episodes import EpisodeMaker
    from datagen.questions.sources import FamilySet
    from datagen.verbs.arguments import Verbs

LEDGER = "calls.jsonl"


def add(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "episodes", help="ask a model questions about CSV files and keep the verified answers"
    )
    verb.add_argument("csv", type=Path, nargs="*", metavar="CSV", help="CSV files")
    verb.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write episodes.jsonl to"
    )
    verb.add_argument(
        "--questions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="ask the questions of these files, made by datagen questions",
    )
    add_question_flags(
        verb,
        sources=["template", "procedural", "proposed", "all"],
        meaning="where questions come from; proposed needs a model (default: all)",
    )
    verb.add_argument(
        "--prompt",
        choices=["brief", "compact", "full"],
        default="full",
        help="prompt style; compact has an example and a column a line, for small models; brief is for the bundled "
        "tiny model (default: full)",
    )
    verb.add_argument(
        "--attempts",
        type=whole_count,
        default=3,
        metavar="N",
        help="maximum attempts at a question with a known answer (default: 3)",
    )
    verb.add_argument(
        "--traces",
        type=whole_count,
        default=1,
        metavar="N",
        help="different right attempts to collect per question with a known answer (default: 1)",
    )
    verb.add_argument(
        "--audit",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of the verified episodes that --audit-model solves again (default: 0.05)",
    )
    verb.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    verb.add_argument("--json", action="store_true", help="print the counts as JSON")
    add_teacher_flags(verb)
    add_reading_flags(verb)
    verb.first = ("--out", "--teacher", "--teacher-model", "--max-cost", "--per-table")
    verb.examples = (
        "datagen episodes data/*.csv --out episodes --max-cost 5",
        "datagen episodes --questions questions.jsonl --out episodes",
        "datagen episodes data/*.csv --out trial --teacher scripted --families basic --prompt brief",
    )
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from datagen.episodes.journal import Journal
    from datagen.episodes.make_episodes import EpisodeMaker

    families = families_of(args)
    target, journal = args.out / "episodes.jsonl", args.out / "episodes.journal.jsonl"
    if args.out.exists() and not args.out.is_dir():
        raise OutputExists(f"{args.out} is a file", "give a folder with --out")
    if target.exists() and not journal.exists():
        raise OutputExists(f"{target} already exists", "choose another --out, or remove it")
    if args.csv and args.questions:
        raise Usage("CSV files and --questions cannot be combined", "leave out one of them")
    if not args.csv and not args.questions:
        raise Usage("no CSV files and no --questions given", "give CSV files, or --questions FILE")
    if args.teacher == "scripted" and args.source == "proposed":
        raise Usage(
            "--teacher scripted calls no model, and --source proposed needs one",
            "leave out --source, or use another --teacher",
        )
    maker = EpisodeMaker(args.out, style=args.prompt, seed=args.seed)
    with account_of(args, args.out / LEDGER) as account:
        maker.account = account
        _gather(args, maker, families)
        with Journal(journal, maker.tally.add) as book:
            try:
                asyncio.run(maker.make(book, _rules(args, maker)))
            except KeyboardInterrupt:
                raise Interrupted(
                    "interrupted", "run the same command to continue; answers so far are kept"
                ) from None
            finally:  # also for a stopped run: its episodes can be used, and the journal can be continued
                book.copy_to(target, maker.order)
                _report(args, maker, target)
    if maker.unanswered:
        raise TeacherUnavailable(
            f"{maker.unanswered} questions have no answer yet",
            "run the same command again: it continues with these",
        )
    journal.unlink()
    return 0


def _gather(args: argparse.Namespace, maker: EpisodeMaker, families: FamilySet) -> None:
    from datagen.sandbox.remote import check_tables

    if args.questions is not None:
        for path in args.questions:
            maker.read_questions(path)
    else:
        profiles, _ = profiles_of(args)
        maker.add_questions(profiles, source=args.source, families=families, count=args.per_table)
    paths = [task.paths for task in maker.tasks] + [one.paths for one in maker.proposals]
    check_tables(path for some in paths for path in some)
    if not maker.tasks and not maker.proposals:
        raise BadData(
            "no questions can be made from these tables", "look at the tables with: datagen profile"
        )


def _rules(args: argparse.Namespace, maker: EpisodeMaker) -> AttemptRules:
    from datagen.episodes.attempts import AttemptRules

    account = maker.account
    return AttemptRules(
        seed=args.seed,
        attempts=args.attempts,
        traces=args.traces,
        audit=args.audit,
        sampling=account.sampling if account else {},
        licence=account.licence(account.teacher.name) if account else None,
    )


def _report(args: argparse.Namespace, maker: EpisodeMaker, target: Path) -> None:
    from datagen.episodes.counts import money

    tally, account = maker.tally, maker.account
    status = account.status() if account else None
    if args.json:
        print(json.dumps(maker.counts() | {"file": str(target)}))
        return
    for line in tally.table():
        print(line)
    if account is not None and status is not None:
        print(money(status, tally.asked.total(), len(maker.order)))
        for cause, times in account.lost().most_common():
            print(f"calls lost: {times} ({cause})")
        if account.settled:
            print(account.settled)
    for reason, times in maker.dropped.most_common():
        print(f"proposals dropped: {times} {reason}")
    level = ", ".join(sorted(tally.levels)) or "not used"
    print(f"{tally.right} of {tally.asked.total()} episodes verified, sandbox {level}: {target}")
