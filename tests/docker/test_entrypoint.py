import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).resolve().parents[2] / "docker" / "entrypoint"


@pytest.mark.parametrize("command", ["train", "datagen", "pod"])
def test_no_command_leaves_a_core_dump(tmp_path, command):
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\nulimit -S -c\n")
    stub.chmod(0o755)

    done = subprocess.run(
        ["sh", "-c", f'ulimit -S -c $(ulimit -H -c); exec sh "{ENTRYPOINT}" {command}'],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"
