import dataclasses
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from datagen.questions.procedural.checks import decimals_of
from datagen.questions.procedural.draw import draw
from datagen.questions.procedural.program import assemble
from datagen.questions.procedural.state import Answer, Refused
from datagen.questions.procedural.step import Step, words
from datagen.questions.procedural.steps.comparisons import COMPARISONS, KeepCompared, KeepDays
from datagen.questions.procedural.steps.conditions import KeepEqual
from datagen.questions.procedural.steps.derive import Arithmetic
from datagen.questions.procedural.steps.groups import GroupAggregate, GroupShare
from datagen.questions.procedural.steps.row_ends import Count, Statistic
from datagen.questions.procedural.steps.selections import KeepTop
from datagen.questions.procedural.steps.series import GroupsInOrder
from datagen.questions.procedural.steps.series_ends import FirstBeyond, TopLabel
from datagen.questions.procedural.steps.series_values import Gap
from datagen.questions.procedural.wording import question_text

ENOUGH = 600
# Parameters that are said in other words, or not at all.
SAID = {
    "sign": COMPARISONS,
    "how": {
        "ratio": "divided by",
        "difference": "minus|difference",
        "sum": "plus",
        "product": "times",
        "mean": "average",
        "deviation": "deviation|minus the average",
        "share": "divided by the total",
        "change": "change",
        "running_total": "running",
        "moving_average": "average",
        "startswith": "starts with",
        "endswith": "ends with",
        "pearson": "Pearson",
        "spearman": "Spearman",
    },
    "of": {"mean": "average"},
}
SILENT = {"format", "gaps"}


def parameters(step: Step) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(step):
        value = getattr(step, field.name)
        if isinstance(value, Step):
            yield from parameters(value)
        elif isinstance(value, tuple):
            yield from ((field.name, item) for item in value)
        elif field.name not in SILENT:
            yield field.name, value


def said(step: Step, name: str, value: object, text: str) -> bool:
    if name == "highest":
        return ("highest" if value else "lowest") in text
    if name == "above":
        return any(word in text for word in (("above", "greater") if value else ("below", "less")))
    if name == "latest":
        return ("latest" if value else "earliest") in text
    if name == "missing":
        return ("is missing" if value else "is not missing") in text
    if name in SAID:
        options = SAID[name].get(str(value), str(value)).split("|")
        return any(option in text for option in options)
    if name == "width":
        rows_before = f" {int(str(value)) - 1} rows before"
        return getattr(step, "how", "") != "moving_average" or (
            rows_before in text or f" {value} values" in text
        )
    if isinstance(value, str):
        return f'"{value}"' in text or value in text.replace('"', " ").split()
    return words(value) in text.replace(",", " ").replace("?", " ").replace("th ", " ").split() or (
        f" {words(value)}." in text
    )


def test_every_parameter_of_every_step_is_said(table, alone):
    rng, seen = random.Random(7), Counter[str]()
    for turn in range(ENOUGH):
        try:
            program, answer = draw(table if turn % 4 == 0 else alone, rng, seen)
        except Refused:
            continue
        text = question_text(program, answer, decimals_of(answer))
        for step in program.steps:
            seen[step.op] += 1
            for name, value in parameters(step):
                assert said(step, name, value, text), (text, step, name)
    assert len(seen) > 45


def test_a_question_ends_as_a_question_and_states_the_form(alone):
    rng = random.Random(8)
    for _ in range(200):
        try:
            program, answer = draw(alone, rng, Counter())
        except Refused:
            continue
        decimals = decimals_of(answer)
        text = question_text(program, answer, decimals)
        assert text.count("?") == 1
        assert "  " not in text
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert (f"rounded to {decimals} decimals" in text or f"to {decimals} decimals" in text) == (
            decimals is not None
        )
        assert ("with a list" in text) == (answer.type == "list")


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (
            [KeepTop("price", 9, highest=False), Statistic("units", "median")],
            'Take the 9 rows with the lowest "price". Among these rows, what is the median "units"?',
        ),
        (
            [KeepEqual("shop", "Ulm"), KeepCompared("price", ">=", 2.5), Count()],
            'How many rows are there where "shop" is "Ulm" and "price" is at least 2.5?',
        ),
        (
            [
                KeepTop("price", 50, highest=True),
                Arithmetic("ratio", "price", "units"),
                KeepCompared("ratio", "<", 3),
                Statistic("ratio", "deviation"),
            ],
            (
                'Take the 50 rows with the highest "price". For each of these rows, let "ratio" be "price" '
                'divided by "units". Among those of them where "ratio" is less than 3, what is the sample '
                'standard deviation (n - 1) of "ratio"?'
            ),
        ),
        (
            [
                KeepDays("day", "2021-01-01", "2021-02-03", None),
                GroupAggregate("shop", "price", "mean"),
                TopLabel(highest=True),
            ],
            (
                'the rows where "day" is from 2021-01-01 to 2021-02-03 (both days included), which "shop" '
                'has the highest average "price"?'
            ),
        ),
        (
            [GroupShare("shop", KeepEqual("paid", True)), Gap("ratio")],
            (
                'For each "shop", compute the fraction (0 to 1) of its rows where "paid" is True. What is the '
                "highest of the fractions divided by the lowest?"
            ),
        ),
        (
            [
                GroupAggregate("year", "price", "total"),
                GroupsInOrder("change", 2),
                FirstBeyond(above=True, limit=40),
            ],
            (
                'For each "year", compute the total "price". Then in ascending order of "year", turn each value '
                'into its change from the "year" listed before it (the first one has none). What is the '
                'earliest "year" with a resulting value greater than 40?'
            ),
        ),
    ],
)
def test_the_plain_wording(steps, text):
    assert question_text(assemble(steps), Answer(3, "integer"), None).endswith(text)


def test_the_answer_and_its_precision_are_stated():
    program = assemble([Statistic("price", "mean")])
    text = question_text(program, Answer(3.14, "number", ("Leave out missing values.",)), 2)
    assert text.startswith('What is the average "price"? Leave out missing values. ')
    assert text.endswith("2 decimals.")
