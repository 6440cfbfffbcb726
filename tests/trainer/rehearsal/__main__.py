"""``python -m tests.trainer.rehearsal``: the trainer, with a card's plan on this CPU."""

import sys

import pytest

from tests.trainer.rehearsal.card import use_card
from trainer import __main__ as entry
from trainer.contract.command.errors import run_main

if __name__ == "__main__":
    use_card(pytest.MonkeyPatch())
    sys.exit(run_main(entry._main, sys.argv[1:]))
