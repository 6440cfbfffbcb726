"""``make schemathesis SPEC=openapi.json``: the emulator against RunPod's published contract.

The contract has no licence, so it is no part of this repository: SPEC is a file or an address, for example
``api-reference-v2/openapi.json`` of the repository runpod/docs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.system.emulator.server import Emulator
from tests.system.engine import Engine, NoEngine
from tests.system.foreign import NoClient, environment

SCHEMATHESIS = "schemathesis==4.32.5"
# Every call of tests/system/emulator/routes.py but the log stream, which has no end.
PATHS = (
    r"^/v2/(pods(/\{id\}(/action)?)?|catalog/(gpus|datacenters)(/\{id\})?|registries(/\{id\})?"
    r"|network-volumes(/\{id\})?|account/ssh-keys|billing/pods)$"
)
# Rules that the contract states in prose alone ("mutually exclusive") end in 400, as at RunPod.
LEFT_OUT = "positive_data_acceptance"


def main(spec: str, *options: str) -> int:
    try:
        program = str(environment(SCHEMATHESIS) / "bin" / "python")
        engine = Engine.connect()
    except (NoClient, NoEngine) as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    with Emulator(engine, grace=0.0, limits={"minute": 10**9}) as runpod:
        spec = spec if "://" in spec else str(Path(spec).absolute())
        where = ["run", spec, "--url", runpod.url, "--include-path-regex", PATHS]
        key = ["-H", f"Authorization: Bearer {runpod.keys.account}"]
        limits = ["--request-timeout", "5", "--max-response-time", "3", "--continue-on-failure"]
        command = [program, "-m", "schemathesis.cli", *where, *key, *limits]
        with tempfile.TemporaryDirectory() as scratch:
            done = subprocess.run(
                [*command, "--exclude-checks", LEFT_OUT, *options], cwd=scratch, check=False
            )
        print(f"{len(runpod.requests)} requests, {len(runpod.pods.all)} pods")
    return done.returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("error: which contract? make schemathesis SPEC=openapi.json")
    sys.exit(main(*sys.argv[1:]))
