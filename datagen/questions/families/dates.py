"""Dates: months, weekdays, years, windows, gaps and streaks."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import date, timedelta
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import AGGREGATES, mean, top
from datagen.questions.bound import Bound
from datagen.questions.families.aggregates import LEVELS
from datagen.questions.family import Family, Other, Slots, Truth, Unasked
from datagen.questions.gather import known
from datagen.questions.others import zeros
from datagen.questions.slots import Draw, Slot, amount, dates, pick, threshold, words

if TYPE_CHECKING:
    from datagen.questions.cells import Cells

MONTHS = (
    "January February March April May June July August September October November December"
).split()
DAY = "day = pd.to_datetime(df[{d}])\n"
ENDS = {"highest": "max", "lowest": "min"}  # idxmax, idxmin


def day_of(slot: str, low: float, high: float) -> Slot:
    """A date between two percentiles of the column in `slot`."""

    def fill(draw: Draw) -> Bound | None:
        found = sorted(x for x in draw.cells.days(str(draw.bound[slot].value)) if x is not None)
        if not found:
            return None
        iso = found[int(draw.rng.uniform(low, high) * len(found))].isoformat()
        return Bound(iso, iso, f'"{iso}"')

    return fill


def year_of(slot: str, *, after: bool = False) -> Slot:
    """A year that occurs in the column in `slot`; `after`: one whose year before occurs too."""

    def fill(draw: Draw) -> Bound | None:
        years = {x.year for x in draw.cells.days(str(draw.bound[slot].value)) if x is not None}
        free = sorted(y for y in years if not after or y - 1 in years)
        if not free:
            return None
        year = draw.rng.choice(free)
        return Bound(year, str(year), str(year))

    return fill


def month_name(draw: Draw) -> Bound:
    at = draw.rng.randrange(12)
    return Bound(at + 1, MONTHS[at], str(at + 1))


def _dated(t: Cells, s: Slots) -> list[tuple[date, float]]:
    rows = zip(t.days(s["d"]), t.numbers(s["n"]), strict=True)
    return [(day, x) for day, x in rows if day is not None and x is not None]


def _busiest_month(t: Cells, s: Slots) -> Truth:
    counts = Counter(day.strftime("%Y-%m") for day in known(t.days(s["d"])))
    return top({month: float(n) for month, n in counts.items()})[0]


def _best_month(t: Cells, s: Slots) -> Truth:
    months: dict[str, list[float]] = {}
    for day, x in _dated(t, s):
        months.setdefault(day.strftime("%Y-%m"), []).append(x)
    scores = {month: AGGREGATES[s["agg"]](xs) for month, xs in months.items()}
    return top(scores, lowest=s["end"] == "lowest")[0]


def _rows_between(t: Cells, s: Slots, *, ends: bool = True) -> Truth:
    first, last = date.fromisoformat(s["from"]), date.fromisoformat(s["to"])
    if first >= last:
        raise Unasked("empty range")
    return sum(
        first < day < last or (ends and day in (first, last)) for day in known(t.days(s["d"]))
    )


def _between_mean(t: Cells, s: Slots, *, ends: bool = True) -> Truth:
    first, last = date.fromisoformat(s["from"]), date.fromisoformat(s["to"])
    rows = [x for day, x in _dated(t, s) if first < day < last or (ends and day in (first, last))]
    return AGGREGATES[s["agg"]](known(rows))


def _gap(t: Cells, s: Slots, *, between: bool = False) -> Truth:
    days = sorted({*known(t.days(s["d"]))})
    if len(days) < 3:
        raise Unasked("too few values")
    longest = max((b - a).days for a, b in itertools.pairwise(days))
    if longest == 1:
        raise Unasked("degenerate")
    return longest - between


def _span(t: Cells, s: Slots, *, both: bool = False) -> Truth:
    days = known(t.days(s["d"]))
    return (max(days) - min(days)).days + both


def _weekday(t: Cells, s: Slots) -> Truth:
    groups: dict[str, list[float]] = {}
    for day, x in _dated(t, s):
        groups.setdefault(day.strftime("%A"), []).append(x)
    scores = {name: mean(xs) for name, xs in groups.items()}
    return top(scores, lowest=s["end"] == "lowest")[0]


def _year_change(t: Cells, s: Slots) -> Truth:
    level = AGGREGATES[s["agg"]]
    now, before = (
        level(known([x for day, x in _dated(t, s) if day.year == y])) for y in (s["y"], s["y"] - 1)
    )
    if not before:
        raise Unasked("division by zero")
    return 100 * (now - before) / before


def _calendar_month(t: Cells, s: Slots) -> Truth:
    return AGGREGATES[s["agg"]](known([x for day, x in _dated(t, s) if day.month == s["month"]]))


def _peak_day(t: Cells, s: Slots) -> Truth:
    rows = dict(enumerate(_dated(t, s)))
    best = top({at: x for at, (_, x) in rows.items()}, lowest=s["end"] == "lowest")[0]
    return rows[best][0].isoformat()


def _streak(t: Cells, s: Slots, *, inclusive: bool = False) -> Truth:
    days = [day for day in t.days(s["d"]) if day is not None]
    if len(days) != len({*days}) or len(days) < 10:
        raise Unasked("not one row a day")
    good = {day for day, x in _dated(t, s) if x > s["t"] or (inclusive and x == s["t"])}
    best = 0
    for day in good:
        if day - timedelta(1) not in good:
            length = 1
            while day + timedelta(length) in good:
                length += 1
            best = max(best, length)
    return best


def _latest(t: Cells, s: Slots, *, extra: int = 0) -> Truth:
    last = max(known(t.days(s["d"])))
    start = last - timedelta(s["k"] - 1 + extra)
    return AGGREGATES[s["agg"]](known([x for day, x in _dated(t, s) if day >= start]))


FAMILIES = (
    Family(
        name="busiest_month",
        slots={"d": dates()},
        wordings=("In which month of which year, by {d}, does the table have the most rows?",),
        code=DAY + 'answer = day.dt.strftime("%Y-%m").value_counts().idxmax()',
        truth=_busiest_month,
        plan="I reduce {d} to year and month and count the rows.",
        answer="text",
        form="Answer as YYYY-MM.",
    ),
    Family(
        name="best_month",
        slots={"d": dates(), "n": amount(), "agg": words(LEVELS), "end": words(ENDS)},
        wordings=(
            "Which month of which year (by {d}) has the {end} {agg} {n}, among the months with a value?",
        ),
        code=(
            DAY
            + "known = df[{n}].notna()\n"
            + 'months = day[known].dt.strftime("%Y-%m")\n'
            + "scores = df.loc[known, {n}].groupby(months).{agg}()\n"
            + "# look\n"
            + "answer = scores.idx{end}()"
        ),
        truth=_best_month,
        plan="I group the rows by year and month of {d} and compare the {agg} of {n}.",
        answer="text",
        form="Answer as YYYY-MM.",
        others=(zeros(_best_month),),
    ),
    Family(
        name="rows_between_dates",
        slots={"d": dates(), "from": day_of("d", 0.05, 0.4), "to": day_of("d", 0.6, 0.95)},
        wordings=(
            "In how many rows does {d} lie between {from} and {to}?",
            "How many rows fall between {from} and {to}, by {d}?",
        ),
        code=DAY + "answer = day.dt.normalize().between({from}, {to}).sum()",
        truth=_rows_between,
        plan="I count the rows whose {d} lies between the two dates.",
        answer="integer",
        others=(
            Other(
                "ends excluded",
                lambda t, s: _rows_between(t, s, ends=False),
                "Both dates belong to the range.",
            ),
        ),
    ),
    Family(
        name="aggregate_between_dates",
        whole=True,
        slots={
            "d": dates(),
            "n": amount(),
            "from": day_of("d", 0.05, 0.4),
            "to": day_of("d", 0.6, 0.95),
            "agg": words(LEVELS),
        },
        wordings=("What is the {agg} {n} from {from} to {to}, by {d}?",),
        code=(
            DAY
            + "rows = df[day.dt.normalize().between({from}, {to})]\n"
            + "answer = rows[{n}].{agg}()"
        ),
        truth=_between_mean,
        plan="I keep the rows between the two dates and take the {agg} of {n}.",
        others=(
            Other(
                "ends excluded",
                lambda t, s: _between_mean(t, s, ends=False),
                "Both dates belong to the range.",
            ),
            zeros(_between_mean),
        ),
    ),
    Family(
        name="longest_gap",
        slots={"d": dates()},
        wordings=(
            "What is the longest time in days from one date in {d} to the next later date in it?",
        ),
        code=(
            DAY
            + "days = day.dropna().dt.normalize().drop_duplicates().sort_values()\n"
            + "answer = days.diff().max().days"
        ),
        truth=_gap,
        plan="I sort the different dates in {d} and take the largest difference.",
        answer="integer",
        units="days",
        others=(
            Other(
                "days in between",
                lambda t, s: _gap(t, s, between=True),
                "From one day to the following day is 1 day.",
            ),
        ),
    ),
    Family(
        name="date_span",
        slots={"d": dates()},
        wordings=("How many days lie between the earliest and the latest {d}?",),
        code=DAY + "answer = (day.max().normalize() - day.min().normalize()).days",
        truth=_span,
        plan="I subtract the earliest {d} from the latest.",
        answer="integer",
        units="days",
        others=(
            Other(
                "both days counted",
                lambda t, s: _span(t, s, both=True),
                "From one day to the following day is 1 day.",
            ),
        ),
    ),
    Family(
        name="weekday",
        slots={"d": dates(), "n": amount(), "end": words(ENDS)},
        wordings=(
            "On which weekday (by {d}) is the mean {n} {end}?",
            "Which day of the week has the {end} mean {n}, by {d}?",
        ),
        code=(
            DAY
            + "means = df[{n}].groupby(day.dt.day_name()).mean()\n"
            + "# look\n"
            + "answer = means.idx{end}()"
        ),
        truth=_weekday,
        plan="I group {n} by the weekday of {d} and compare the means.",
        answer="text",
        form="Answer with the weekday's English name.",
        others=(zeros(_weekday),),
    ),
    Family(
        name="year_on_year",
        slots={
            "d": dates(),
            "n": amount(low=0),
            "y": year_of("d", after=True),
            "agg": words({"mean": "mean", "total": "sum"}),
        },
        wordings=(
            (
                "By how many percent does the {agg} {n} change from the year before to {y}, by {d}? A fall"
                " is negative."
            ),
        ),
        code=(
            DAY
            + "levels = df[{n}].groupby(day.dt.year).{agg}()\n"
            + "# look\n"
            + "answer = 100 * (levels[{y}] - levels[{y} - 1]) / levels[{y} - 1]"
        ),
        truth=_year_change,
        plan="I compute the {agg} of {n} by year and compare {y} with the year before.",
        units="percent",
        others=(zeros(_year_change),),
    ),
    Family(
        name="calendar_month",
        whole=True,
        slots={"d": dates(), "n": amount(), "month": month_name, "agg": words(LEVELS)},
        wordings=(
            "What is the {agg} {n} over all rows whose {d} lies in {month}, whatever the year?",
        ),
        code=DAY + "answer = df.loc[day.dt.month == {month}, {n}].{agg}()",
        truth=_calendar_month,
        plan="I keep the rows of {month} and take the {agg} of {n}.",
        others=(zeros(_calendar_month),),
    ),
    Family(
        name="peak_date",
        slots={"d": dates(), "n": amount(), "end": words(ENDS)},
        wordings=("On which {d} is {n} {end}?", "At which {d} does {n} have its {end} value?"),
        code=DAY + 'answer = day[df[{n}].idx{end}()].strftime("%Y-%m-%d")',
        truth=_peak_day,
        plan="I find the row with the {end} {n} and read its {d}.",
        answer="date",
    ),
    Family(
        name="longest_streak",
        slots={"d": dates(), "n": amount(), "t": threshold("n", 0.3, 0.8)},
        wordings=(
            "What is the longest run of consecutive calendar days (by {d}) with {n} above {t} on each?",
        ),
        code=(
            DAY
            + "good = day[df[{n}] > {t}].dt.normalize().sort_values()\n"
            + "runs = (good.diff() != pd.Timedelta(days=1)).cumsum()\n"
            + "# look\n"
            + "answer = runs.value_counts().max()"
        ),
        truth=_streak,
        plan="I sort the days above {t}; where the step is not one day a new run starts.",
        answer="integer",
        units="days",
        others=(
            Other(
                "border included",
                lambda t, s: _streak(t, s, inclusive=True),
                "A day with {n} of exactly {t} ends a run.",
            ),
        ),
    ),
    Family(
        name="latest_window",
        whole=True,
        slots={"d": dates(), "n": amount(), "k": pick(7, 14, 30, 90), "agg": words(LEVELS)},
        wordings=("What is the {agg} {n} over the last {k} calendar days of the table, by {d}?",),
        code=(
            DAY
            + "last = day.max().normalize()\n"
            + "rows = df[day.dt.normalize() > last - pd.Timedelta(days={k})]\n"
            + "answer = rows[{n}].{agg}()"
        ),
        truth=_latest,
        plan="I keep the rows of the last {k} days, the latest {d} being the last of them.",
        others=(
            Other(
                "the day before too",
                lambda t, s: _latest(t, s, extra=1),
                "The window ends with the latest date and counts it as one of its days.",
            ),
            zeros(_latest),
        ),
    ),
)
