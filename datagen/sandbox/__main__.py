"""``python -m datagen.sandbox FD``: the server, started by ``process.py`` and by nobody else."""

import sys

from datagen.sandbox.server import run

if __name__ == "__main__":
    raise SystemExit(run(int(sys.argv[1])))
