import io
import threading

import pytest

from trainer.contract.command.slow_work import telling


def test_what_takes_long_is_said_while_it_runs():
    out, asked = io.StringIO(), threading.Event()

    def what() -> str:
        asked.set()
        return "reading [wide].csv"

    with telling(what, out, first=0):
        assert asked.wait(60)
    assert out.getvalue() == "reading [wide].csv: 0 s\n"


def test_what_is_quick_says_nothing_and_its_failure_comes_through(capsys):
    with pytest.raises(ZeroDivisionError), telling(lambda: "dividing", first=3600):
        _ = 1 // 0
    assert capsys.readouterr().err == ""
