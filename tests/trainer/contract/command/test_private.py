import os
import subprocess
import sys

import pytest

WRITES = """
import os, pathlib, resource, sys
from trainer.contract.command.errors import run_main

def inner(argv):
    pathlib.Path("folder").mkdir()
    pathlib.Path("folder/file").write_text("x")
    print(*(oct(pathlib.Path(name).stat().st_mode & 0o777) for name in ("folder", "folder/file")))
    child = os.popen("ulimit -c; umask").read().split()
    print(resource.getrlimit(resource.RLIMIT_CORE)[0], *child)
    return 0

sys.exit(run_main(inner, None))
"""


@pytest.mark.parametrize(
    ("umask", "modes", "inherited"),
    [
        (0o000, "0o775 0o664", "0002"),
        (0o022, "0o755 0o644", "0022"),
        (0o002, "0o775 0o664", "0002"),
        (0o077, "0o700 0o600", "0077"),
    ],
)
def test_no_command_lets_any_user_write_or_leaves_its_memory_on_a_disk(
    tmp_path, umask, modes, inherited
):
    loose = f'umask {umask:03o}; ulimit -S -c $(ulimit -H -c); exec "$0" "$@"'
    done = subprocess.run(
        ["sh", "-c", loose, sys.executable, "-c", WRITES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [modes, f"0 0 {inherited}"]
