"""Resampling: the procedure and its random numbers are stated, so that there is one answer.

The truth draws from the same generator, which the question names, and computes without numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, deviation, mean, quantile
from datagen.questions.families.aggregates import AVERAGES
from datagen.questions.family import Family, Slots, Truth, Unasked
from datagen.questions.gather import grouped, known
from datagen.questions.slots import amount, category, pick, value_of, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LEAST = 10
ROUNDS = 200
LARGEST = 20_000
STATED = (
    "Let rng = np.random.default_rng({seed}). 200 times in a row, draw idx = rng.integers(0, k, k),"
    " where k is the number of known values of {n}, and take the {agg} of the known values (in the"
    " order of the table) at the positions idx."
)
BOOTSTRAP = (
    "values = df[{n}].dropna().to_numpy()\n"
    "rng = np.random.default_rng({seed})\n"
    "draws = []\n"
    "for _ in range(200):\n"
    "    idx = rng.integers(0, len(values), len(values))\n"
    "    draws.append(np.{agg}(values[idx]))\n"
    "# look\n"
)


def _draws(t: Cells, s: Slots) -> list[float]:
    import numpy as np

    values = known(t.numbers(s["n"]), LEAST)
    if len(values) > LARGEST:
        raise Unasked("too many values")
    rng, level = np.random.default_rng(s["seed"]), AGGREGATES[s["agg"]]
    size = len(values)
    return [level([values[at] for at in rng.integers(0, size, size)]) for _ in range(ROUNDS)]


def _bound(t: Cells, s: Slots) -> Truth:
    return quantile(_draws(t, s), {"lower": 0.025, "upper": 0.975}[s["end"]])


def _error(t: Cells, s: Slots) -> Truth:
    return deviation(_draws(t, s))


def _permuted(t: Cells, s: Slots) -> Truth:
    import numpy as np

    groups = grouped(t, s["c"], s["n"])
    first, second = groups.get(s["v"], []), groups.get(s["w"], [])
    if min(len(first), len(second)) < LEAST or len(first) + len(second) > LARGEST:
        raise Unasked("too few values")
    both, rng = [*first, *second], np.random.default_rng(s["seed"])
    seen, cut, extreme = abs(mean(first) - mean(second)), len(first), 0
    for _ in range(ROUNDS):
        mixed = [both[at] for at in rng.permutation(len(both))]
        gap = abs(mean(mixed[:cut]) - mean(mixed[cut:]))
        if abs(gap - seen) <= 1e-9 * max(1.0, seen):
            raise Unasked("border")
        extreme += gap > seen
    if not extreme:
        raise Unasked("degenerate")
    return (extreme + 1) / (ROUNDS + 1)


SEED = pick(0, 1, 7, 42, 123)
FAMILIES = (
    Family(
        name="bootstrap_bound",
        slots={
            "n": amount(),
            "agg": words(AVERAGES),
            "seed": SEED,
            "end": words({"lower": "2.5", "upper": "97.5"}),
        },
        wordings=(
            STATED
            + " What is the {end} bound of the 95% percentile interval (linear interpolation) of"
            " these 200 numbers?",
        ),
        code=BOOTSTRAP + "answer = np.percentile(draws, {end})",
        truth=_bound,
        plan="I repeat the stated draws, then take the percentile of the 200 results.",
        scaled=True,
    ),
    Family(
        name="bootstrap_error",
        slots={"n": amount(), "agg": words(AVERAGES), "seed": SEED},
        wordings=(
            STATED + " What is the sample standard deviation (divide by 199) of these 200 numbers?",
        ),
        code=BOOTSTRAP + "answer = np.std(draws, ddof=1)",
        truth=_error,
        plan="I repeat the stated draws, then take the standard deviation of the 200 results.",
        decimals=3,
        scaled=True,
    ),
    Family(
        name="permutation_test",
        slots={
            "n": amount(),
            "c": category(),
            "v": value_of("c", rows=LEAST),
            "w": value_of("c", rows=LEAST, other_than="v"),
            "seed": SEED,
        },
        wordings=(
            (
                "Put the known {n} of the rows where {c} is {v} (k of them, in the order of the table) before"
                " those where {c} is {w}. Let rng = np.random.default_rng({seed}). 200 times in a row,"
                " rearrange the whole by rng.permutation of its positions and take the absolute difference"
                " of the means of the first k and of the rest. With e of these differences larger than the"
                " original one, what is (e + 1) / 201?"
            ),
        ),
        code=(
            "known = df.dropna(subset=[{n}])\n"
            "first = known.loc[known[{c}] == {v}, {n}].to_numpy()\n"
            "second = known.loc[known[{c}] == {w}, {n}].to_numpy()\n"
            "seen = abs(first.mean() - second.mean())\n"
            "# look\n"
            "both = np.concatenate([first, second])\n"
            "rng = np.random.default_rng({seed})\n"
            "extreme = 0\n"
            "for _ in range(200):\n"
            "    mixed = both[rng.permutation(len(both))]\n"
            "    gap = abs(mixed[: len(first)].mean() - mixed[len(first) :].mean())\n"
            "    extreme += gap > seen\n"
            "answer = (extreme + 1) / 201"
        ),
        truth=_permuted,
        plan="I take the difference of the two means, then repeat it on the stated permutations.",
        decimals=4,
    ),
)
