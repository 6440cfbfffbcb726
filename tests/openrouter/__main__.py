"""`python -m tests.openrouter`: serves until interrupted."""

import argparse
import json
import signal
import sys

from tests.openrouter.mishaps import Mishap
from tests.openrouter.server import KEY, OpenRouter


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.openrouter", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="default: any")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--capacity", type=int, metavar="N", help="429 for more at once")
    parser.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="SHARE=JSON",
        help="""a mishap by chance, as 0.02={"kind": "status", "status": 429}; repeatable""",
    )
    wanted = parser.parse_args()
    fake = OpenRouter(latency=wanted.latency, capacity=wanted.capacity, port=wanted.port)
    for text in wanted.share:
        share, _, mishap = text.partition("=")
        fake.script.shares.append((float(share), Mishap(**json.loads(mishap))))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with fake:
        print(f"export SFT_DATAGEN_BASE_URL={fake.url}")
        print("export SFT_DATAGEN_OPENROUTER=yes")
        print(f"export OPENROUTER_API_KEY={KEY}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print(f"charged ${fake.bill.total} for {fake.asked} requests", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
