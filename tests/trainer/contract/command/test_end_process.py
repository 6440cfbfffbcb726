"""How a command ends. The judge is CPython: what it does at exit, and what it leaves out for ``os._exit``."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
ENDS = """
import atexit, sys, tempfile, threading, time
from pathlib import Path
from trainer.contract.command.end_process import end_process

class Slow:
    def __del__(self):
        print("teardown")

kept = Slow()
folder = tempfile.TemporaryDirectory()
atexit.register(lambda: print("hook"))
threading.Thread(target=time.sleep, args=(60,)).start()
print(folder.name)
sys.stderr.write("said")
end_process(9)
"""


def test_hooks_run_and_streams_are_flushed_but_nothing_is_torn_down():
    done = subprocess.run(
        [sys.executable, "-c", ENDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    folder, *lines = done.stdout.splitlines()
    assert (done.returncode, lines, done.stderr) == (9, ["hook"], "said")
    assert not Path(folder).exists()


@pytest.mark.parametrize("package", ["trainer", "datagen"])
@pytest.mark.parametrize("code", [0, 9])
def test_the_commands_that_load_torch_end_like_that(package, code):
    program = (
        "import os, runpy, sys\n"
        "from trainer.contract.command import errors\n"
        f"errors.run_main = lambda *_: {code}\n"
        "os._exit, plain = lambda code: (print('ended', code, flush=True), plain(code)), os._exit\n"
        f"sys.argv = ['{package}']\n"
        f"runpy.run_module('{package}', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (code, f"ended {code}\n"), done.stderr


def test_a_reader_that_has_gone_does_not_change_the_exit_code():
    program = (
        "import os, sys\n"
        "from trainer.contract.command.end_process import end_process\n"
        "reader, writer = os.pipe()\n"
        "os.close(reader)\n"
        "sys.stdout = os.fdopen(writer, 'w')\n"
        "sys.stdout.write('unread')\n"
        "end_process(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (3, "")
