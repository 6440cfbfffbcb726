import errno
import subprocess
import sys

import pytest

from trainer.contract.command import errors
from trainer.contract.command.errors import BadData, NotFound, report, run_main


def raising(error):
    def inner(argv):
        raise error

    return inner


def test_a_fault_reads_as_cause_and_hint():
    assert str(NotFound("no file", "make it")) == "no file: make it"
    assert str(NotFound("no file")) == "no file"
    assert report(NotFound("no file", "make it")) == "error: no file\n  -> make it"


def test_twenty_faults_are_shown_then_a_count():
    text = report(BadData("bad", "fix", faults=[f"f:{n}" for n in range(33)]))
    assert text.count("f:") == 20
    assert "... and 13 more" in text
    assert "more" not in report(BadData("bad", faults=["x"] * 20))


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (NotFound("gone", "look"), 11, "error: gone\n  -> look\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n  -> run the same command again\n"),
        (OSError(errno.ENOSPC, "full", "/x"), 8, "the disk is full while writing /x"),
        (OSError(errno.EDQUOT, "full"), 8, "the disk is full"),
        (
            FileExistsError(errno.EEXIST, "File exists", "/x"),
            2,
            "error: /x: File exists\n  -> choose",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "error: /x: Permission den"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 2, "error: /x: Read-only file sys"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/x"), 2, "error: /x: File name too"),
        (PermissionError("of no file"), 1, "internal error: PermissionError"),
        (ZeroDivisionError("1/0"), 1, "internal error: ZeroDivisionError: 1/0\n  -> set SFT_TRACE"),
    ],
)
def test_the_shell_turns_failures_into_codes(capsys, monkeypatch, error, code, text):
    monkeypatch.delenv("SFT_TRACEBACK", raising=False)
    assert run_main(raising(error), None) == code
    shown = capsys.readouterr().err
    assert text in shown
    assert "Traceback" not in shown


def test_a_traceback_on_request(capsys, monkeypatch):
    monkeypatch.setenv("SFT_TRACEBACK", "1")
    assert run_main(raising(NotFound("gone")), None) == 11
    assert "Traceback" in capsys.readouterr().err


def test_success_passes_the_code_and_the_arguments():
    assert run_main(lambda argv: len(argv or ()), ["a", "b"]) == 2


def test_a_closed_pipe_is_quiet():
    program = (
        "import sys\n"
        "from trainer.contract.command.errors import run_main\n"
        "def inner(argv):\n"
        "    for _ in range(100_000): print('x' * 80)\n"
        "    return 0\n"
        "sys.exit(run_main(inner, None))\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait() == errors.BROKEN_PIPE
    child.stderr.close()
