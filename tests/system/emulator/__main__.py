"""``python -m tests.system.emulator``: serves until interrupted."""

import argparse
import signal
import socket
import sys

from tests.system.emulator.server import Emulator
from tests.system.engine import Engine, NoEngine


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8640, help="default %(default)s; 0: any")
    parser.add_argument("--billing-lag", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--grace", type=float, default=5.0, metavar="SECONDS")
    wanted = parser.parse_args()
    try:
        engine = Engine.connect()
    except NoEngine as fault:
        print(f"error: {fault}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if wanted.port and taken(wanted.port):
        print(f"error: port {wanted.port} is in use; --port 0 takes a free one", file=sys.stderr)
        return 1
    with Emulator(
        engine, port=wanted.port, billing_lag=wanted.billing_lag, grace=wanted.grace
    ) as runpod:
        print(f"export RUNPOD_API_BASE_URL={runpod.url}")
        print(f"export RUNPOD_API_KEY={runpod.keys.account}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("removing pods", file=sys.stderr)
    return 0


def taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit(main())
