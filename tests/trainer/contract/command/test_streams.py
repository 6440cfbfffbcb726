"""Commands under streams that are closed, or whose encoding lacks a sign."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SAY = """
import os, sys
from trainer.contract.command import streams
from trainer.contract.command.errors import run_main
def inner(argv):
    {0}
    return 5
sys.exit(run_main(inner, None))
"""


def run(
    inner: str, *, shell: str = "", encoding: str = "utf-8"
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-c", SAY.format(inner)],
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", b"k\\xf6rper \\u2192\n"), ("latin-1", b"k\xf6rper \\u2192\n")],
)
def test_a_sign_that_the_terminal_lacks_is_shown_as_its_number(encoding, shown):
    done = run("print('k\\u00f6rper \\u2192')", encoding=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (5, shown, b"")


def test_half_a_character_in_a_file_name_is_no_fault():
    assert run("print('a\\udcffb')").stdout == b"a\\udcffb\n"


def test_json_stays_json():
    said = "streams.write_json(); print('\"k\\u00f6rper \\u2192\"')"
    assert json.loads(run(said, encoding="ascii").stdout) == "k\u00f6rper \u2192"


@pytest.mark.parametrize("shell", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_ends_nothing(shell):
    """Nor does what is opened next take its place, here or in a child."""
    inner = (
        "import subprocess; sys.stdin.read(); print(1); sys.stdout.isatty(); print(2, file=sys.stderr)\n"
        "    file = open(os.devnull); assert file.fileno() > 2\n"
        "    subprocess.run([sys.executable, '-c', 'print(3, flush=True)'], check=True)"
    )
    done = run(inner, shell=shell)
    assert (done.returncode, b"Error" in done.stderr) == (5, False)
    if ">&-" not in shell:
        assert sorted(done.stdout.split()) == [b"1", b"3"]
