from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from datagen.questions.family import Unasked
from datagen.questions.programs.answer import Answer, answer
from datagen.questions.programs.checks import decimals_of, solve
from datagen.questions.programs.frame import Frame, start
from datagen.questions.programs.program import from_json
from datagen.tables.table import profile_table

PRICES = [5, 7, 9, 11, 30, 31, 32, 33, 34, 50]
KINDS = ["a", "a", "b", "b", "b", "b", "b", "c", "c", ""]


def mean(n="price", agg="average"):
    return {"step": "statistic", "n": n, "agg": agg}


def compared(sign, limit):
    return {"step": "keep_compared", "n": "price", "sign": sign, "limit": limit}


COUNT = {"step": "count"}
BY_KIND = {"step": "group_aggregate", "c": "kind", "n": "price", "agg": "average"}
TOP = {"step": "top_label", "end": "highest"}
DEVIATION = {"step": "derive_deviation", "n": "price", "c": "kind"}


@pytest.fixture
def rows(tmp_path: Path):
    def made(prices=PRICES, kinds=KINDS, costs=PRICES[::-1]) -> Frame:
        path = tmp_path / "t.csv"
        lines = [
            f"{p},{k},n{at},{c}"
            for at, (p, k, c) in enumerate(zip(prices, kinds, costs, strict=True))
        ]
        path.write_text("\n".join(["price,kind,id,cost", *lines]) + "\n", "utf-8")
        return start([profile_table(path)])

    return made


def solved(table: Frame, *steps: dict[str, Any]) -> Answer:
    return solve(from_json(table, {"steps": steps}), table)


def test_a_program_in_which_all_matters_is_asked(rows):
    assert solved(rows(), compared("greater than", 8), mean()).value == np.mean(PRICES[2:])
    assert solved(rows(), BY_KIND, TOP).value == "c"


@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        ("a dead step", [compared("greater than", 4), COUNT]),
        ("a dead step|whole table", [compared("greater than", 8), mean(agg="maximum")]),
        ("a dead step", [DEVIATION, {"step": "lookup", "x": "id", "n": "price", "end": "highest"}]),
        (
            "a dead step",
            [
                BY_KIND,
                {"step": "groups_top", "k": 2, "end": "highest"},
                {"step": "extreme_value", "end": "highest"},
            ],
        ),
        ("a dead step", [compared("greater than", 6), compared("at least", 7), mean()]),
        (
            "the answer of the groups' sizes",
            [
                {"step": "group_total", "c": "kind", "n": "price"},
                {"step": "top_label", "end": "highest"},
            ],
        ),
        ("too few rows are left", [{"step": "keep_equal", "c": "kind", "v": "a"}, mean()]),
        ("a tie", [{"step": "group_size", "c": "kind"}, {"step": "top_label", "end": "lowest"}]),
        ("the answer is 0 or 1", [{"step": "correlation", "n": "price", "m": "price"}]),
        (
            "a dead step|takes all|whole table",
            [{"step": "keep_top", "n": "price", "k": 10, "end": "highest"}, mean()],
        ),
        ("related to itself", [DEVIATION, {"step": "slope", "n": "price", "m": "deviation"}]),
        ("related to itself", [DEVIATION, {"step": "correlation", "n": "deviation", "m": "price"}]),
    ],
)
def test_what_is_refused(rows, reason, steps):
    with pytest.raises(Unasked, match=reason):
        solved(rows(), *steps)


def test_one_group_is_no_choice(rows):
    table = rows()
    steps = [{"step": "keep_equal", "c": "kind", "v": "b"}, BY_KIND, TOP]
    with pytest.raises(Unasked, match="fewer than two groups"):
        answer(table, from_json(table, {"steps": steps}))


def test_two_steps_that_undo_each_other_are_refused(rows):
    table = rows([1, 2, 3, 10, 20, 30, 38, 39, 40], "a" * 9, range(9))
    with pytest.raises(Unasked, match="whole table"):
        solved(table, compared("greater than", 2), compared("less than", 39), mean(agg="median"))


def test_what_is_left_of_a_mean_by_rounding_alone_is_refused(rows):
    prices = [7.0, -7.0, 5.5, -5.5, 0.4, -0.4, 0, 0.1, 0.2, -0.3]
    table = rows(prices)
    with pytest.raises(Unasked, match=r"cancels out|0 or 1"):
        solved(table, mean())
    with pytest.raises(Unasked, match="cancels out"):
        answer(table, from_json(table, {"steps": [mean()]}))


def test_equal_values_share_their_mean_rank(rows):
    x, y = [1, 1, 1, 2, 2, 3, 3, 3, 3, 9], [5, 3, 3, 3, 8, 8, 1, 9, 9, 9]
    table = rows(x, KINDS, y)
    found = answer(
        table,
        from_json(table, {"steps": [{"step": "rank_correlation", "n": "price", "m": "cost"}]}),
    )
    assert found.value == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_ties_at_the_border_of_a_top_n_are_refused(rows):
    table = rows([1] * 4 + [2] * 5 + [9])
    steps = [{"step": "keep_top", "n": "price", "k": 5, "end": "highest"}, mean("cost")]
    with pytest.raises(Unasked, match="a tie"):
        answer(table, from_json(table, {"steps": steps}))


def test_a_value_within_rounding_of_a_limit_is_refused(rows):
    table = rows([0.1 + 0.2, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    with pytest.raises(Unasked, match="border"):
        answer(table, from_json(table, {"steps": [compared("greater than", 0.3), mean("cost")]}))


def test_a_missing_value_is_no_other_value(rows):
    table = rows()
    steps = [{"step": "keep_other", "c": "kind", "v": "a"}, COUNT]
    found = answer(table, from_json(table, {"steps": steps}))
    assert found.value == 7
    assert found.notes == ('A row without "kind" does not count as another value.',)


def test_a_join_must_be_used(profiles, table):
    join = {"step": "join", "u": "shops", "k": "shop", "r": "shop"}
    with pytest.raises(Unasked, match="not used"):
        solved(table, join, mean())
    found = solved(table, join, mean("area", "total"))
    areas = {"Ulm": 410, "Bonn": 255.5, "Jena": 120}
    assert found.value == sum(areas.get(str(shop), 0) for shop in table.cells[0].values("shop"))


@pytest.mark.parametrize(
    ("value", "decimals"), [(12.345, 2), (1.5, 2), (0.51234, 3), (0.0512, 4), (-0.00123, 5)]
)
def test_small_numbers_are_asked_for_with_three_digits(value, decimals):
    assert decimals_of(Answer(value, "number")) == decimals


@pytest.mark.parametrize("value", [12.345, 0.0, 1.0, 1.004, 0.9996, 1e15, 1e-7])
def test_numbers_that_cannot_be_asked_for(rows, value):
    with pytest.raises(Unasked):
        solved(rows([value] * 5 + [value + 1] + [value] * 4), mean(agg="median"))
