"""Least-squares lines and planes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import line, mean, pearson, solve
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import pairs
from datagen.questions.others import zeros
from datagen.questions.slots import amount, category, threshold, value_of

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

LEAST = 10
FIT = "rows = df[[{m}, {n}]].dropna()\nslope, intercept = np.polyfit(rows[{m}], rows[{n}], 1)\n"


def _rows(t: Cells, s: Slots) -> list[tuple[float, float]]:
    rows = pairs(t, s["m"], s["n"])
    if len(rows) < LEAST:
        raise Unasked("too few values")
    return rows


def _slope(t: Cells, s: Slots) -> Truth:
    return line(_rows(t, s))[0]


def _r_squared(t: Cells, s: Slots) -> Truth:
    return pearson(_rows(t, s)) ** 2


def _predicted(t: Cells, s: Slots) -> Truth:
    slope, intercept = line(_rows(t, s))
    return intercept + slope * s["t"]


def _residual(t: Cells, s: Slots, ddof: int = 2) -> Truth:
    rows = _rows(t, s)
    slope, intercept = line(rows)
    squares = math.fsum((y - intercept - slope * x) ** 2 for x, y in rows)
    return math.sqrt(squares / (len(rows) - ddof))


def _largest_residual(t: Cells, s: Slots) -> Truth:
    rows = _rows(t, s)
    slope, intercept = line(rows)
    return max(abs(y - intercept - slope * x) for x, y in rows)


def _partial(t: Cells, s: Slots) -> Truth:
    """The first coefficient of y = a + b1 x1 + b2 x2, by the normal equations of centred columns."""
    columns = zip(t.numbers(s["n"]), t.numbers(s["m"]), t.numbers(s["o"]), strict=True)
    rows = [(y, a, b) for y, a, b in columns if None not in (y, a, b)]
    if len(rows) < LEAST:
        raise Unasked("too few values")
    middles = [mean([row[at] for row in rows]) for at in range(3)]  # type: ignore[misc]
    centred = [[x - m for x, m in zip(row, middles, strict=True)] for row in rows]  # type: ignore[operator]

    def product(i: int, j: int) -> float:
        return math.fsum(row[i] * row[j] for row in centred)

    scale = math.sqrt(product(1, 1) * product(2, 2))
    if not scale or 1 - (product(1, 2) / scale) ** 2 < 1e-6:
        raise Unasked("columns depend on each other")
    matrix = [[product(1, 1), product(1, 2)], [product(1, 2), product(2, 2)]]
    return solve(matrix, [product(1, 0), product(2, 0)])[0]


def _slope_where(t: Cells, s: Slots) -> Truth:
    columns = zip(t.values(s["c"]), t.numbers(s["m"]), t.numbers(s["n"]), strict=True)
    rows = [(x, y) for g, x, y in columns if g == s["v"] and x is not None and y is not None]
    if len(rows) < LEAST:
        raise Unasked("too few values")
    return line(rows)[0]


TWO = {"n": amount(), "m": amount()}
FAMILIES = (
    Family(
        name="slope",
        slots=TWO,
        wordings=(
            "Fit a least-squares line that predicts {n} from {m}. What is its slope?",
            "By how much does {n} change per unit of {m}, by ordinary least squares with an intercept?",
        ),
        code=FIT + "answer = slope",
        truth=_slope,
        plan="I fit a line of {n} on {m} over the rows that have both.",
        decimals=3,
        scaled=True,
        others=(zeros(_slope), zeros(_slope, "m")),
    ),
    Family(
        name="r_squared",
        slots=TWO,
        wordings=(
            "What share of the variance of {n} does a straight line in {m} explain (R squared)?",
            "What is R squared of a simple linear regression of {n} on {m}?",
        ),
        code=(
            FIT
            + "left = rows[{n}] - (intercept + slope * rows[{m}])\n"
            + "# look\n"
            + "answer = 1 - (left ** 2).sum() / ((rows[{n}] - rows[{n}].mean()) ** 2).sum()"
        ),
        truth=_r_squared,
        plan="I fit a line of {n} on {m} and compare the residuals with the spread of {n}.",
        decimals=3,
        others=(zeros(_r_squared), zeros(_r_squared, "m")),
    ),
    Family(
        name="prediction",
        slots={**TWO, "t": threshold("m", 0.1, 0.9)},
        wordings=(
            (
                "Fit a least-squares line that predicts {n} from {m}. Which {n} does it predict where {m}"
                " is {t}?"
            ),
        ),
        code=FIT + "# look\nanswer = intercept + slope * {t}",
        truth=_predicted,
        plan="I fit a line of {n} on {m} and read it at {t}.",
        others=(zeros(_predicted), zeros(_predicted, "m")),
    ),
    Family(
        name="residual_spread",
        slots=TWO,
        wordings=(
            "Fit a least-squares line that predicts {n} from {m}. What is the residual standard error?",
        ),
        code=(
            FIT
            + "left = rows[{n}] - (intercept + slope * rows[{m}])\n"
            + "# look\n"
            + "answer = ((left ** 2).sum() / (len(rows) - 2)) ** 0.5"
        ),
        truth=_residual,
        plan="I fit a line of {n} on {m} and measure the residuals.",
        scaled=True,
        others=(
            Other(
                "divided by n",
                lambda t, s: _residual(t, s, 0),
                "Divide the sum of squares by n - 2.",
            ),
            Other(
                "divided by n - 1",
                lambda t, s: _residual(t, s, 1),
                "Divide the sum of squares by n - 2.",
            ),
            zeros(_residual),
            zeros(_residual, "m"),
        ),
    ),
    Family(
        name="largest_residual",
        slots=TWO,
        wordings=(
            (
                "Fit a least-squares line that predicts {n} from {m}. How far, up or down, does the worst"
                " fitted row lie from the line?"
            ),
        ),
        code=(
            FIT
            + "left = rows[{n}] - (intercept + slope * rows[{m}])\n"
            + "# look\n"
            + "answer = left.abs().max()"
        ),
        truth=_largest_residual,
        plan="I fit a line of {n} on {m} and take the largest absolute residual.",
        scaled=True,
        others=(zeros(_largest_residual), zeros(_largest_residual, "m")),
    ),
    Family(
        name="partial_slope",
        slots={**TWO, "o": amount()},
        wordings=(
            (
                "Fit {n} by ordinary least squares on {m} and {o} together, with an intercept. What is the"
                " coefficient of {m}?"
            ),
        ),
        code=(
            "rows = df[[{n}, {m}, {o}]].dropna()\n"
            "design = np.column_stack([np.ones(len(rows)), rows[{m}], rows[{o}]])\n"
            "coefficients = np.linalg.lstsq(design, rows[{n}], rcond=None)[0]\n"
            "# look\n"
            "answer = coefficients[1]"
        ),
        truth=_partial,
        plan="I solve the least-squares problem with a column of ones, {m} and {o}.",
        others=(zeros(_partial), zeros(_partial, "m"), zeros(_partial, "o")),
        decimals=3,
        scaled=True,
    ),
    Family(
        name="slope_where",
        slots={**TWO, "c": category(), "v": value_of("c", rows=LEAST)},
        wordings=(
            (
                "Among rows where {c} is {v}, what is the slope of the least-squares line that predicts {n}"
                " from {m}?"
            ),
        ),
        code=(
            "rows = df.loc[df[{c}] == {v}, [{m}, {n}]].dropna()\n"
            "slope, intercept = np.polyfit(rows[{m}], rows[{n}], 1)\n"
            "answer = slope"
        ),
        truth=_slope_where,
        plan="I keep the rows where {c} is {v} and fit a line of {n} on {m}.",
        decimals=3,
        scaled=True,
        others=(zeros(_slope_where), zeros(_slope_where, "m")),
    ),
)
