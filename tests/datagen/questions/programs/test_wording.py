import random
import statistics
from collections import Counter
from collections.abc import Iterator

import pytest

from datagen.questions.family import Unasked
from datagen.questions.programs.answer import Answer, answer
from datagen.questions.programs.checks import decimals_of
from datagen.questions.programs.draw import draw
from datagen.questions.programs.program import Filled, from_json
from datagen.questions.programs.wording import question_text

ENOUGH = 300


def texts_of_slots(filled: Filled) -> Iterator[str]:
    if filled.inner:
        yield from texts_of_slots(filled.inner)
    silent = {"u", "r"}
    yield from (filled.bound[name].text for name in filled.step.slots if name not in silent)


def asked(frame, count: int, seed: int):
    rng, used = random.Random(seed), Counter[str]()
    for _ in range(count):
        try:
            program = draw(frame, rng, used)
            found = answer(frame, program)
        except Unasked:
            continue
        used.update(filled.step.name for filled in program)
        yield program, found, question_text(program, found, decimals_of(found))


def test_every_slot_of_every_step_is_said(table, alone):
    for frame, count in ((alone, ENOUGH), (table, ENOUGH // 4)):
        for program, _, text in asked(frame, count, 7):
            for filled in program:
                for said in texts_of_slots(filled):
                    assert said in text, (filled.step.name, said, text)


def test_a_question_ends_as_a_question_and_states_the_form(alone):
    lengths = []
    for _, found, text in asked(alone, ENOUGH, 8):
        decimals = decimals_of(found)
        lengths.append(len(text.split()))
        assert text.count("?") == 1
        assert "  " not in text
        assert text[0].isupper()
        assert text[-1] in ".?"
        assert (f"{decimals} decimals." in text) == (decimals is not None)
        assert (" list them, " in text.lower()) == (found.type == "list")
    assert statistics.median(lengths) < 35


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (
            [
                {"step": "keep_top", "n": "price", "k": 9, "end": "lowest"},
                {"step": "statistic", "n": "units", "agg": "median"},
            ],
            'Among the 9 rows with the lowest "price", what is the median "units"?',
        ),
        (
            [
                {"step": "keep_equal", "c": "shop", "v": "Ulm"},
                {"step": "keep_compared", "n": "price", "sign": "at least", "limit": 2.5},
                {"step": "count"},
            ],
            'How many rows are there where "shop" is "Ulm" and "price" is at least 2.5?',
        ),
        (
            [
                {"step": "keep_top", "n": "price", "k": 50, "end": "highest"},
                {"step": "derive_ratio", "n": "price", "m": "units"},
                {"step": "keep_compared", "n": "ratio", "sign": "less than", "limit": 3},
                {"step": "statistic", "n": "ratio", "agg": "sample standard deviation of"},
            ],
            (
                'Take the 50 rows with the highest "price". Let "ratio" be "price" divided by "units". '
                'Among those of them where "ratio" is less than 3, what is the sample standard '
                'deviation of "ratio"?'
            ),
        ),
        (
            [
                {"step": "keep_days", "d": "day", "from": "2021-01-01", "to": "2021-02-03"},
                {"step": "group_aggregate", "c": "shop", "n": "price", "agg": "average"},
                {"step": "top_label", "end": "highest"},
            ],
            (
                'here "day" is from 2021-01-01 to 2021-02-03 (inclusive), which "shop" has the highest '
                'average "price"?'
            ),
        ),
        (
            [
                {
                    "step": "group_share",
                    "c": "shop",
                    "condition": {"step": "keep_equal", "c": "paid", "v": True},
                },
                {"step": "gap", "op": "divided by"},
            ],
            (
                'For each "shop", compute the fraction (0 to 1) of its rows where "paid" is True. What is the '
                "highest of the fractions divided by the lowest?"
            ),
        ),
        (
            [
                {"step": "group_total", "c": "model_year", "n": "price"},
                {"step": "groups_change"},
                {"step": "first_beyond", "sign": "greater than", "limit": 40},
            ],
            (
                'For each "model_year", compute the total "price". Then turn each value into its change from '
                'the "model_year" before it. What is the earliest "model_year" with a resulting value '
                "greater than 40?"
            ),
        ),
    ],
)
def test_the_plain_wording(alone, steps, text):
    program = from_json(alone, {"steps": steps})
    assert question_text(program, Answer(3, "integer"), None).endswith(text)


def test_the_answer_and_its_precision_are_stated(alone):
    program = from_json(alone, {"steps": [{"step": "statistic", "n": "price", "agg": "average"}]})
    text = question_text(program, Answer(3.14, "number", ("Leave out missing values.",)), 2)
    assert text.startswith('What is the average "price"? Leave out missing values. ')
    assert text.endswith("2 decimals.")
