"""Steps over one number for each group."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from datagen.questions.procedural.state import Refused, Series, apart, border, clear_of
from datagen.questions.procedural.step import SeriesStep, literal, middle, number, words


@dataclass(frozen=True)
class GroupsTop(SeriesStep):
    count: int
    highest: bool
    op: ClassVar[str] = "groups_top"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        sizes = [n for n in (2, 3, 4, 5, 10) if n < len(series.labels)]
        return cls(rng.choice(sizes), rng.random() < 0.6) if sizes else None

    def plain(self, series: Series) -> Series:
        inside = border(series.values, self.count, highest=self.highest)
        kept = series.keep(inside(x) for x in series.values)
        order = sorted(range(len(kept.values)), key=kept.values.__getitem__, reverse=self.highest)
        return replace(
            kept,
            labels=[kept.labels[at] for at in order],
            values=[kept.values[at] for at in order],
            ordered=False,
        )

    def code(self) -> str:
        return f"groups = groups.{'nlargest' if self.highest else 'nsmallest'}({self.count})"

    def sentence(self, by: str) -> str:
        return f"keep the {self.count} with the {'highest' if self.highest else 'lowest'} values"


@dataclass(frozen=True)
class GroupsCompared(SeriesStep):
    above: bool
    limit: float
    op: ClassVar[str] = "groups_compared"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        if len(series.values) < 4:
            return None
        return cls(rng.random() < 0.6, number(middle(series.values, rng)))

    def plain(self, series: Series) -> Series:
        clear_of(series.values, self.limit)
        return series.keep(x > self.limit if self.above else x < self.limit for x in series.values)

    def code(self) -> str:
        return f"groups = groups[groups {'>' if self.above else '<'} {literal(self.limit)}]"

    def sentence(self, by: str) -> str:
        side = "greater" if self.above else "less"
        return f"keep those with a value {side} than {words(self.limit)}"


@dataclass(frozen=True)
class GroupsBeyondMean(SeriesStep):
    above: bool
    op: ClassVar[str] = "groups_beyond_mean"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        return cls(rng.random() < 0.6) if len(series.values) > 3 else None

    def plain(self, series: Series) -> Series:
        mean = statistics.fmean(series.values)
        if not all(apart(x, mean) for x in series.values):
            raise Refused("a value on the border")
        return series.keep(x > mean if self.above else x < mean for x in series.values)

    def code(self) -> str:
        return f"groups = groups[groups {'>' if self.above else '<'} groups.mean()]"

    def sentence(self, by: str) -> str:
        side = "above" if self.above else "below"
        return f"keep those whose value is {side} the plain average of these values"


@dataclass(frozen=True)
class GroupsShare(SeriesStep):
    """Each group's part of the total of all groups."""

    op: ClassVar[str] = "groups_share"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:  # noqa: ARG003
        return cls() if series.additive and min(series.values) > 0 else None

    def plain(self, series: Series) -> Series:
        total = math.fsum(series.values)
        if not series.additive or total == 0:
            raise Refused("shares of what does not add up")
        shares = [x / total for x in series.values]
        return replace(series, values=shares, whole=False, additive=False)

    def code(self) -> str:
        return "groups = groups / groups.sum()"

    def sentence(self, by: str) -> str:
        return "divide each value by the total of these values"


@dataclass(frozen=True)
class GroupsInOrder(SeriesStep):
    """A value that looks back along time: change, running_total or moving_average."""

    how: str
    width: int
    op: ClassVar[str] = "groups_in_order"

    @classmethod
    def draw(cls, series: Series, rng: random.Random) -> Self | None:
        if not series.ordered or len(series.labels) < 6:
            return None
        hows = ["change", "moving_average"] + ["running_total"] * series.additive
        return cls(rng.choice(hows), rng.choice([2, 3, 4]))

    def plain(self, series: Series) -> Series:
        if not series.ordered:
            raise Refused("an order without time")
        values, labels, width = series.values, series.labels, self.width
        if self.how == "running_total":
            totals = list(itertools.accumulate(values))
            return replace(series.changed(labels, totals, whole=series.whole), additive=False)
        if self.how == "change":
            steps = [after - before for before, after in itertools.pairwise(values)]
            return series.changed(labels[1:], steps, whole=series.whole)
        ends = range(width, len(values) + 1)
        means = [math.fsum(values[end - width : end]) / width for end in ends]
        return series.changed(labels[width - 1 :], means, whole=False)

    def code(self) -> str:
        back = {
            "change": "diff().dropna()",
            "running_total": "cumsum()",
            "moving_average": f"rolling({self.width}).mean().dropna()",
        }[self.how]
        return f"groups = groups.sort_index().{back}"

    def sentence(self, by: str) -> str:
        order = f'in ascending order of "{by}"'
        return {
            "change": f'{order}, turn each value into its change from the "{by}" listed before '
            "it (the first one has none)",
            "running_total": f"{order}, turn each value into the running total up to it",
            "moving_average": f"{order}, turn each value into the average of the {self.width} "
            "values that end with it (where there are that many)",
        }[self.how]


SERIES_STEPS: tuple[type[SeriesStep], ...] = (
    GroupsTop,
    GroupsCompared,
    GroupsBeyondMean,
    GroupsShare,
    GroupsInOrder,
)
