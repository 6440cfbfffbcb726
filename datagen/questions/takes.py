"""How the rows of a question's SQL become its answer. A tie is no answer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datagen.questions.family import Truth, Unasked
from datagen.questions.resampling import bootstrap_bound, bootstrap_error, permutation

if TYPE_CHECKING:
    from datagen.questions.slots.draw import Draw

Rows = Sequence[tuple[Any, ...]]
NEAR = 1e-9


def close(a: float, b: float) -> bool:
    """Whether two floating-point routes could order these two either way."""
    return abs(a - b) <= NEAR * max(1.0, abs(a), abs(b))


def ranked(rows: Rows, count: int, *, lowest: bool = False) -> list[tuple[Any, ...]]:
    """The first `count` of rows of labels and a score, best first."""
    if any(isinstance(r[-1], float) and math.isnan(r[-1]) for r in rows):
        raise Unasked("not computable")
    order = sorted((r for r in rows if r[-1] is not None), key=lambda r: r[-1], reverse=not lowest)
    if len(order) <= count:
        raise Unasked("too few groups")
    if any(close(a[-1], b[-1]) for a, b in itertools.pairwise(order[: count + 1])):
        raise Unasked("tie")
    return order[:count]


def _slot(draw: Draw, name: str) -> Any:
    return draw.bound[name].value


def _lowest(draw: Draw) -> bool:
    return "end" in draw.bound and draw.bound["end"].value == "lowest"


def _value(rows: Rows, _: Draw) -> Truth:
    """The one value."""
    return rows[0][0] if rows else None


def _values(rows: Rows, _: Draw) -> Truth:
    """The first column, in the order of the rows."""
    return [row[0] for row in rows]


def _first(rows: Rows, draw: Draw) -> Truth:
    """The label (or labels, as a list) with the highest score; the lowest where slot `end` says so."""
    ((*labels, _score),) = ranked(rows, 1, lowest=_lowest(draw))
    return labels if len(labels) > 1 else labels[0]


def _second(rows: Rows, draw: Draw) -> Truth:
    """The label with the second highest (lowest) score."""
    return ranked(rows, 2, lowest=_lowest(draw))[1][0]


def _top(rows: Rows, draw: Draw) -> Truth:
    """The labels with the `k` highest (lowest) scores, best first."""
    return [row[0] for row in ranked(rows, _slot(draw, "k"), lowest=_lowest(draw))]


def _at(rows: Rows, draw: Draw) -> Truth:
    """The label with the `k`-th highest score."""
    return ranked(rows, _slot(draw, "k"))[-1][0]


def _share(rows: Rows, draw: Draw) -> Truth:
    """The percentage of the sum of the scores that the `k` highest have."""
    whole = math.fsum(row[-1] for row in rows)
    if not whole:
        raise Unasked("division by zero")
    return 100 * math.fsum(row[-1] for row in ranked(rows, _slot(draw, "k"))) / whole


def _place(rows: Rows, draw: Draw) -> Truth:
    """The place of label `v` by score, the highest being 1."""
    scores: dict[Any, Any] = dict(rows)
    own = scores.pop(_slot(draw, "v"), None)
    if own is None or len(scores) < 2:
        raise Unasked("too few groups")
    if any(close(own, other) for other in scores.values()):
        raise Unasked("tie")
    return 1 + sum(other > own for other in scores.values())


def _lead(rows: Rows, _: Draw) -> Truth:
    """By how much the highest score exceeds the second."""
    best, second = ranked(rows, 2)
    return best[-1] - second[-1]


def _gap(rows: Rows, _: Draw) -> Truth:
    """The highest score minus the lowest."""
    scores = [row[-1] for row in rows]
    if len(scores) < 2:
        raise Unasked("too few groups")
    return max(scores) - min(scores)


def _mean(rows: Rows, _: Draw) -> Truth:
    """The mean of the scores."""
    if len(rows) < 2:
        raise Unasked("too few groups")
    return math.fsum(row[-1] for row in rows) / len(rows)


def _above(rows: Rows, _: Draw) -> Truth:
    """How many rows have a value above the limit beside it."""
    if len(rows) < 2:
        raise Unasked("too few groups")
    if any(x != limit and close(x, limit) for *_, x, limit in rows):
        raise Unasked("border")
    return sum(x > limit for *_, x, limit in rows)


def _column(rows: Rows, draw: Draw) -> Truth:
    """The name of the column with the highest value in the one row, which has a value for each column."""
    names = [column.name for column in draw.profile.columns]
    return ranked([*zip(names, rows[0], strict=True)], 1)[0][0]


def _test(rows: Rows, draw: Draw) -> Truth:
    """A test's statistic or its p-value, as slot `what` says, of (statistic, law, parameters of the law)."""
    return rows[0][0] if _slot(draw, "what") == "test statistic" else _p_value(rows)


def _rejects(rows: Rows, draw: Draw) -> Truth:
    """Whether the p-value of such a row is below slot `a`."""
    p, level = _p_value(rows), _slot(draw, "a")
    if close(p, level):
        raise Unasked("border")
    return p < level


def _p_value(rows: Rows) -> float:
    statistic, law, *parameters = rows[0]
    if statistic is None or None in parameters:
        raise Unasked("no variation")
    return float(_tail(law, float(statistic), *map(float, parameters)))


def _tail(law: str, statistic: float, *parameters: float) -> Any:
    from scipy import special  # a fraction of what scipy.stats takes to import

    if law == "t":
        return 2 * special.stdtr(*parameters, -abs(statistic))
    if law == "f":
        return special.fdtrc(*parameters, statistic)
    if law == "chi2":
        return special.chdtrc(*parameters, statistic)
    return min(1.0, 2 * special.ndtr(-parameters[0]))  # "normal": z is the parameter


@dataclass(frozen=True)
class Take:
    """Makes the answer of rows; `needs` are the slots it reads."""

    answer: Callable[[Rows, Draw], Truth]
    needs: tuple[str, ...] = ()


TAKES: Mapping[str, Take] = {
    "value": Take(_value),
    "values": Take(_values),
    "first": Take(_first),
    "second": Take(_second),
    "top": Take(_top, ("k",)),
    "at": Take(_at, ("k",)),
    "share": Take(_share, ("k",)),
    "place": Take(_place, ("v",)),
    "lead": Take(_lead),
    "gap": Take(_gap),
    "mean": Take(_mean),
    "above": Take(_above),
    "column": Take(_column),
    "test": Take(_test, ("what",)),
    "rejects": Take(_rejects, ("a",)),
    "bootstrap_bound": Take(bootstrap_bound, ("agg", "seed", "end")),
    "bootstrap_error": Take(bootstrap_error, ("agg", "seed")),
    "permutation": Take(permutation, ("seed",)),
}
