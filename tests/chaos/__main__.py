"""``python -m tests.chaos SEED`` replays one schedule; ``--count N [--from SEED]`` runs many."""

import argparse
import sys
import time
from collections import Counter

from tests.chaos.story import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--from", type=int, default=0, dest="first")
    options = parser.parse_args()
    if options.seed is not None:
        told = play(options.seed)
        print("\n".join(told.lines()))
        return bool(told.faults)
    outcomes: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    bad: list[int] = []
    begun = time.process_time()
    for seed in range(options.first, options.first + options.count):
        told = play(seed)
        outcomes[told.outcome] += 1
        struck.update(told.struck)
        if told.faults:
            bad.append(seed)
            print(f"seed {seed}: {told.faults[0]}", flush=True)
    for title, table in (("outcomes", outcomes), ("faults that struck", struck)):
        print(f"{title}:")
        print("\n".join(f"  {count:5}  {name}" for name, count in table.most_common()))
    spent = time.process_time() - begun
    print(f"{options.count} schedules, {len(bad)} broke a promise, {spent:.0f} s of CPU")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
