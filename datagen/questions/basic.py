"""The basic template families: short questions answered by one expression, as the demo asks them.

The tiny base model's card names these wordings, so they stay as they are; `template.py` asks the rest.
Each question carries its typed answer with the stated precision, computed by `basic_truth.py`; `script`
gives the pandas code that answers it. A question with two defensible answers (a tie, a value on a
rounding border) is not asked.
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from datagen.episode import Question, stable_id
from datagen.judge.answer_types import AnswerType
from datagen.questions import basic_truth as truth
from datagen.questions.cells import Cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from datagen.tables.column_profile import ColumnProfile
    from datagen.tables.table import TableProfile

METHODS = {"mean": "mean", "median": "median", "largest": "max", "smallest": "min", "total": "sum"}
UNSAFE = set("\"'\\\n\r{}`")
TRIES = 25


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of question: wordings and pandas expression with the same slots, and its truth.

    Slots: n, m number columns; c category column, v one of its values; t a threshold between the
    column's values; agg, gagg an aggregate in words, method, gmethod in pandas; p the stated precision.
    """

    wordings: tuple[str, ...]
    expression: str
    truth: Callable[[Cells, truth.Slots], truth.Truth | None]
    answer: AnswerType
    decimals: int | None = None
    difficulty: Literal["easy", "medium", "hard"] = "easy"

    def slots(self) -> set[str]:
        texts = (*self.wordings, self.expression)
        return {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}


FAMILIES: dict[str, Family] = {
    "aggregate": Family(
        wordings=('What is the {agg} "{n}"?{p}', 'Give the {agg} of "{n}".{p}'),
        expression='df["{n}"].{method}()',
        truth=truth.aggregate,
        answer="number",
        decimals=2,
    ),
    "aggregate_where": Family(
        wordings=(
            'What is the {agg} "{n}" where "{c}" is "{v}"?{p}',
            'Among rows with "{c}" equal to "{v}", what is the {agg} "{n}"?{p}',
        ),
        expression='df[df["{c}"] == "{v}"]["{n}"].{method}()',
        truth=truth.aggregate,
        answer="number",
        decimals=2,
        difficulty="medium",
    ),
    "aggregate_above": Family(
        wordings=('What is the {agg} "{n}" where "{m}" is above {t}?{p}',),
        expression='df[df["{m}"] > {t}]["{n}"].{method}()',
        truth=truth.aggregate,
        answer="number",
        decimals=2,
        difficulty="medium",
    ),
    "count_where": Family(
        wordings=('How many rows have "{c}" equal to "{v}"?',),
        expression='len(df[df["{c}"] == "{v}"])',
        truth=truth.count,
        answer="integer",
    ),
    "count_above": Family(
        wordings=('How many rows have "{n}" above {t}?',),
        expression='len(df[df["{n}"] > {t}])',
        truth=truth.count,
        answer="integer",
    ),
    "count_below": Family(
        wordings=('How many rows have "{n}" below {t}?',),
        expression='len(df[df["{n}"] < {t}])',
        truth=truth.count_below,
        answer="integer",
    ),
    "count_both": Family(
        wordings=('How many rows have "{c}" equal to "{v}" and "{n}" above {t}?',),
        expression='len(df[(df["{c}"] == "{v}") & (df["{n}"] > {t})])',
        truth=truth.count,
        answer="integer",
        difficulty="medium",
    ),
    "distinct": Family(
        wordings=('How many different values does "{c}" have?',),
        expression='df["{c}"].nunique()',
        truth=truth.distinct,
        answer="integer",
    ),
    "missing": Family(
        wordings=('How many rows have no "{n}"?',),
        expression='df["{n}"].isna().sum()',
        truth=truth.missing,
        answer="integer",
    ),
    "most_common": Family(
        wordings=('Which "{c}" is the most common?',),
        expression='df["{c}"].mode()[0]',
        truth=truth.most_common,
        answer="text",
    ),
    "group_top": Family(
        wordings=('Which "{c}" has the highest {gagg} "{n}"?',),
        expression='df.groupby("{c}")["{n}"].{gmethod}().idxmax()',
        truth=truth.group_top,
        answer="text",
        difficulty="hard",
    ),
    "share_where": Family(
        wordings=('What share of rows have "{c}" equal to "{v}"? (3 decimals)',),
        expression='(df["{c}"] == "{v}").mean()',
        truth=truth.share,
        answer="number",
        decimals=3,
        difficulty="medium",
    ),
    "spread": Family(
        wordings=('What is the difference between the largest and the smallest "{n}"?{p}',),
        expression='df["{n}"].max() - df["{n}"].min()',
        truth=truth.spread,
        answer="number",
        decimals=2,
    ),
}


def ask(profile: TableProfile, *, count: int, seed: int) -> list[Question]:
    """Up to `count` distinct questions about one table, the families in turn; the seed decides them."""
    rng = random.Random(f"{seed}-{profile.sha256}")
    cells = Cells.of(profile)
    asked: dict[str, Question] = {}
    for _ in range(-(-count // len(FAMILIES))):
        for name in FAMILIES:
            for _ in range(TRIES):
                question = _one(name, profile, cells, rng)
                if question and question.text not in asked:
                    asked[question.text] = question
                    break
    return [*asked.values()][:count]


def script(question: Question) -> str:
    """The pandas code that answers a template question."""
    expression = FAMILIES[question.family].expression.format_map(question.params)
    rounded = (
        expression if question.decimals is None else f"round({expression}, {question.decimals})"
    )
    return f"submit({rounded})"


def _one(name: str, profile: TableProfile, cells: Cells, rng: random.Random) -> Question | None:
    family = FAMILIES[name]
    slots = _bind(family.slots(), profile, cells, rng)
    if slots is None:
        return None
    answer, decimals = _form(family, slots, profile)
    value = family.truth(cells, slots)
    if value is None or _on_rounding_border(value, decimals):
        return None
    if answer == "integer":
        value = int(value)
    elif decimals is not None:
        value = round(float(value), decimals)
    stated = "" if decimals is None else f" ({decimals} decimals)"
    text = rng.choice(family.wordings).format_map({**slots, "p": stated})
    question = Question(
        id=stable_id(profile.sha256, text),
        text=text,
        answer_type=answer,
        decimals=decimals,
        source="template",
        family=name,
        params={**slots},
        difficulty=family.difficulty,
        truth=value,
    )
    return question.model_copy(update={"code": script(question)})


def _form(
    family: Family, slots: truth.Slots, profile: TableProfile
) -> tuple[AnswerType, int | None]:
    """Answer type and precision: a sum or an extreme of whole numbers is a whole number."""
    whole = any(c.name == slots.get("n") and c.kind == "integer" for c in profile.columns)
    averaged = slots.get("agg") in {"mean", "median"}
    if whole and not averaged and family.answer == "number":
        return "integer", None
    return family.answer, family.decimals


def _on_rounding_border(value: truth.Truth, decimals: int | None) -> bool:
    """Whether the last stated digit is decided by the order of a floating-point sum."""
    if decimals is None or isinstance(value, str):
        return False
    scaled: float = abs(value) * 10**decimals
    return abs(scaled - int(scaled) - 0.5) < 1e-6


def _bind(
    wanted: set[str], profile: TableProfile, cells: Cells, rng: random.Random
) -> truth.Slots | None:
    """Draw a column or value for each slot; None when the table has nothing that fits."""
    amounts = [c for c in profile.amounts() if _safe(c.name)]
    categories = [c for c in profile.categories() if _safe(c.name)]
    if ("c" in wanted and not categories) or len(amounts) < len(wanted & {"n", "m"}):
        return None
    slots: truth.Slots = {}
    picked = rng.sample(amounts, len(wanted & {"n", "m"}))
    for slot, column in zip(sorted(wanted & {"n", "m"}, reverse=True), picked, strict=True):
        slots[slot] = column.name
    if "c" in wanted:
        slots["c"] = rng.choice(categories).name
    if "v" in wanted:
        values = sorted({v for v in cells.text[slots["c"]] if v is not None and _safe(v)})
        if not values:
            return None
        slots["v"] = rng.choice(values)
    if "t" in wanted:
        limited = next(c for c in picked if c.name == slots.get("m", slots["n"]))
        slots["t"] = _threshold(limited, cells, rng)
    if "agg" in wanted:
        slots["agg"] = rng.choice([*METHODS])
        slots["method"] = METHODS[slots["agg"]]
    if "gagg" in wanted:
        slots["gagg"] = rng.choice(["mean", "total"])
        slots["gmethod"] = METHODS[slots["gagg"]]
    return slots


def _safe(text: str) -> bool:
    return bool(text) and not UNSAFE & set(text) and text == text.strip()


def _threshold(column: ColumnProfile, cells: Cells, rng: random.Random) -> str:
    """A number between the column's 20th and 80th percentile, written as the column writes numbers."""
    values = sorted(x for x in cells.numbers(column.name) if x is not None)
    value = values[int(rng.uniform(0.2, 0.8) * len(values))]
    return str(int(value)) if column.kind == "integer" else f"{value:.1f}"
