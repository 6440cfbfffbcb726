"""Outliers: fences, z-scores, what changes without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datagen.questions.arithmetic import border, deviation, mean, median, quantile
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import known
from datagen.questions.others import zeros
from datagen.questions.slots import amount, pick

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LEAST = 20
FENCES = (
    "values = df[{n}].dropna()\n"
    "q1, q3 = values.quantile(0.25), values.quantile(0.75)\n"
    "inside = values.between(q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1))\n"
    "# look\n"
)
RULE = "outside the range from Q1 - 1.5 IQR to Q3 + 1.5 IQR"
LINEAR = "Interpolate the quartiles linearly."


def _fences(values: list[float], kind: str = "linear") -> tuple[float, float]:
    q1, q3 = quantile(values, 0.25, kind), quantile(values, 0.75, kind)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    border(values, low)
    border(values, high)
    return low, high


def _outside(t: Cells, s: Slots, kind: str = "linear") -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    low, high = _fences(values, kind)
    return sum(not low <= x <= high for x in values)


def _mean_inside(t: Cells, s: Slots, kind: str = "linear") -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    low, high = _fences(values, kind)
    inside = [x for x in values if low <= x <= high]
    if len(inside) == len(values):
        raise Unasked("no outliers")
    return mean(inside)


def _far(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    middle, limit = mean(values), s["z"] * deviation(values, ddof)
    border([abs(x - middle) for x in values], limit)
    return sum(abs(x - middle) > limit for x in values)


def _far_by_median(t: Cells, s: Slots) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    middle = median(values)
    distances = [abs(x - middle) for x in values]
    limit = s["z"] * median(distances)
    if not limit:
        raise Unasked("no variation")
    border(distances, limit)
    return sum(x > limit for x in distances)


def _peeled(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    while True:
        middle, limit = mean(values), s["z"] * deviation(values, ddof)
        border([abs(x - middle) for x in values], limit)
        inside = [x for x in values if abs(x - middle) <= limit]
        if len(inside) == len(values):
            return mean(inside)
        values = inside


def _highest_score(t: Cells, s: Slots, ddof: int = 1) -> Truth:
    values = known(t.numbers(s["n"]), LEAST)
    middle, spread = mean(values), deviation(values, ddof)
    if not spread:
        raise Unasked("no variation")
    return max(abs(x - middle) for x in values) / spread


SAMPLE = "Use the sample standard deviation (divide by n - 1)."
FAMILIES = (
    Family(
        name="iqr_outliers",
        slots={"n": amount()},
        wordings=(
            "How many values of {n} lie " + RULE + "?",
            "By the 1.5 IQR rule, how many outliers does {n} have?",
        ),
        code=FENCES + "answer = (~inside).sum()",
        truth=_outside,
        plan="I compute the fences of {n} from its quartiles and count what lies outside.",
        answer="integer",
        others=(
            Other("lower value", lambda t, s: _outside(t, s, "lower"), LINEAR),
            Other("higher value", lambda t, s: _outside(t, s, "higher"), LINEAR),
            zeros(_outside),
        ),
    ),
    Family(
        name="mean_without_outliers",
        slots={"n": amount()},
        wordings=("Drop the values of {n} " + RULE + ". What is the mean of the rest?",),
        code=FENCES + "answer = values[inside].mean()",
        truth=_mean_inside,
        plan="I compute the fences of {n} from its quartiles and average what lies inside.",
        scaled=True,
        others=(
            Other("lower value", lambda t, s: _mean_inside(t, s, "lower"), LINEAR),
            Other("higher value", lambda t, s: _mean_inside(t, s, "higher"), LINEAR),
            zeros(_mean_inside),
        ),
    ),
    Family(
        name="z_outliers",
        slots={"n": amount(), "z": pick(1.5, 2, 2.5, 3)},
        wordings=(
            "How many values of {n} lie more than {z} standard deviations from its mean?",
            "How many values of {n} have a z-score above {z} or below -{z}?",
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "scores = (values - values.mean()) / values.std()\n"
            "answer = (scores.abs() > {z}).sum()"
        ),
        truth=_far,
        plan="I turn {n} into z-scores and count those beyond {z}.",
        answer="integer",
        others=(Other("divided by n", lambda t, s: _far(t, s, 0), SAMPLE), zeros(_far)),
    ),
    Family(
        name="mad_outliers",
        slots={"n": amount(), "z": pick(2, 3, 5)},
        wordings=(
            (
                "How many values of {n} lie farther from its median than {z} times the median absolute"
                " deviation from the median (not rescaled)?"
            ),
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "distances = (values - values.median()).abs()\n"
            "# look\n"
            "answer = (distances > {z} * distances.median()).sum()"
        ),
        truth=_far_by_median,
        plan="I measure distances from the median of {n} and compare them with their own median.",
        answer="integer",
        others=(zeros(_far_by_median),),
    ),
    Family(
        name="peeled_mean",
        slots={"n": amount(), "z": pick(2, 2.5, 3)},
        wordings=(
            (
                "Drop the values of {n} that lie more than {z} standard deviations from the mean, and repeat"
                " with the mean and standard deviation of the rest until nothing is dropped. What is the"
                " mean then?"
            ),
        ),
        code=(
            "values = df[{n}].dropna()\n"
            "while True:\n"
            "    inside = (values - values.mean()).abs() <= {z} * values.std()\n"
            "    if inside.all():\n"
            "        break\n"
            "    values = values[inside]\n"
            "# look\n"
            "answer = values.mean()"
        ),
        truth=_peeled,
        plan="I drop far values of {n} again and again until none is left to drop.",
        scaled=True,
        others=(Other("divided by n", lambda t, s: _peeled(t, s, 0), SAMPLE), zeros(_peeled)),
    ),
    Family(
        name="highest_z_score",
        slots={"n": amount()},
        wordings=("What is the largest absolute z-score in {n}?",),
        code=(
            "values = df[{n}].dropna()\n"
            "answer = ((values - values.mean()) / values.std()).abs().max()"
        ),
        truth=_highest_score,
        plan="I standardise {n} and take the largest absolute value.",
        others=(
            Other("divided by n", lambda t, s: _highest_score(t, s, 0), SAMPLE),
            zeros(_highest_score),
        ),
    ),
)
