"""kill -9 of the launcher at every line of its journal, before it is written and after; then attach."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.laptop import Command
from trainer.contract.command.errors import NotFound

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

LINES = 19  # of a run that nobody kills, with a token to bring
AT_ONCE = 4
STEPS = 2
TOKEN = "hf_not-a-token-of-anybody"


@pytest.fixture
def laptop(laptop, tmp_path):
    (tmp_path / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    return laptop


def test_whatever_is_written_last_attach_carries_on(story, laptop):
    def kill_and_carry_on(place: tuple[int, str]) -> tuple[str, Command]:
        line, when = place
        run = f"{when}-{line}"
        work = story.train(run=run, steps=STEPS, altered={"kill": place})
        assert work.ended() == -signal.SIGKILL, work.said
        assert len(laptop.journal(run)) == (line if when == "after" else line - 1), work.said
        again = laptop.launch("attach", run)
        again.ended()
        return run, again

    places = [(line, when) for line in range(1, LINES + 1) for when in ("before", "after")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = dict(pool.map(kill_and_carry_on, places))
    unheard_of = ended.pop("before-1")
    assert unheard_of.ended() == NotFound.exit_code, unheard_of.said
    assert len(story.created()) == len(ended), [one.said for one in ended.values()]
    for run, again in ended.items():
        story.ledger(again, run=run)
        story.whole(run=run, steps=STEPS)
        assert TOKEN not in again.said
    assert laptop.journal(f"after-{LINES}")[LINES - 1]["what"] == "ended", "there are more lines"
