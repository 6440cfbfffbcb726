"""The flags that choose the teacher model, and opening its account."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.contract.command.errors import TeacherRefused, Usage

if TYPE_CHECKING:
    from datagen.models.paid_api.account import Account
    from datagen.models.paid_api.settings import TeacherSettings

RECORDED = "recorded:"


def add_teacher_flags(verb: argparse.ArgumentParser) -> None:
    from datagen.models.paid_api.settings import add_flags

    verb.add_argument(
        "--teacher",
        default="openrouter",
        metavar="WHO",
        help="model that answers: openrouter, scripted (known solutions, no model), recorded:FILE, or the"
        " URL of an OpenAI-compatible API (default: openrouter)",
    )
    add_flags(verb)


@contextmanager
def account_of(args: argparse.Namespace, ledger: Path) -> Iterator[Account | None]:
    """The account of the models that answer; None for the scripted teacher.

    Prints on stderr what a person should read before money is spent. Raises Usage, and what opening
    an account raises.
    """
    if args.teacher == "scripted":
        yield None
        return
    from datagen.models.paid_api.account import replay_account
    from datagen.models.paid_api.settings import given, load

    flags = given(args)
    if args.teacher.startswith(RECORDED):
        recording = Path(args.teacher.removeprefix(RECORDED))
        with replay_account(load(flags), recording=recording) as account:
            yield account
        return
    if args.teacher.startswith(("http://", "https://")):
        flags["base_url"] = args.teacher
    elif args.teacher != "openrouter":
        raise Usage(
            f"--teacher {args.teacher}: not scripted, openrouter, {RECORDED}FILE or a URL",
            "choose one of them",
        )
    with _opened(load(flags), ledger) as account:
        for notice in account.notices:
            print(notice, file=sys.stderr)
        yield account


@contextmanager
def _opened(settings: TeacherSettings, ledger: Path) -> Iterator[Account]:
    """Open the account; without a key, the hint names the teacher that needs none."""
    from datagen.models.paid_api.account import open_account

    opened = False
    try:
        with open_account(settings, ledger=ledger) as account:
            opened = True
            yield account
    except TeacherRefused as fault:
        if opened or not fault.cause.startswith("no key"):
            raise
        hint = f"{fault.hint}; or use --teacher scripted, which needs no key and no model"
        raise TeacherRefused(fault.cause, hint) from fault
