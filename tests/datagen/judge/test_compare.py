"""The judge: each tolerant rule that accepted wrong answers elsewhere, and properties."""

import itertools
import math
from decimal import Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from datagen.judge.answer_types import ANSWER_TYPES
from datagen.judge.compare import judge
from datagen.judge.truth_form import as_truth

NAN = float("nan")
reals = st.floats(-1e9, 1e9)
texts = st.text(max_size=5)
words = texts.map("x".__add__)  # stand for no number, boolean or date
scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), reals, words)


@pytest.mark.parametrize(
    ("answer", "truth", "kind", "decimals"),
    [
        (3, 3, "integer", None),
        (3.0, 3, "integer", None),
        (10**20, 10**20, "integer", None),
        (3, 3.004, "number", 2),
        (0.35, 0.345, "number", 2),
        (0.345, 0.35, "number", 2),
        (2.67, 2.675, "number", 2),
        (-0.0, 0.0, "number", 2),
        (1e15, 1e15 + 0.5, "number", 2),
        (10**400, 10**400, "number", 2),
        ("2024-01-05 10:30", "2024-01-05T10:30:00", "date", None),
        ("2024-01-05T00:30:00+01:00", "2024-01-04T23:30:00Z", "date", None),
        (["2024-01-05T00:00:00"], ["2024-01-05"], "list", None),
        (["2024-01-05T00:00:00", "b"], ["b", "2024-01-05"], "set", None),
        ({"a": 1.004, "n": 7.0}, {"n": 7, "a": 1.0}, "object", 2),
        ({"7.0": 1, "2024-01-05T00:00:00": 2}, {"7": 1, "2024-01-05": 2}, "object", None),
        ({"a": {"b": [1, None]}}, {"a": {"b": [1.0, NAN]}}, "object", 0),
        ({}, {}, "object", None),
        (" Bern\n", "Bern", "text", None),
        (False, False, "boolean", None),
        (None, None, "number", 2),
        (None, NAN, "number", 2),
        (NAN, None, "text", None),
        ([], [], "list", None),
        (["b", "a"], ["b", "a"], "list", None),
        (("b", 1.004), ["b", 1.0], "list", 2),
        ([["a", 1], ["b", None]], [["a", 1.0], ["b", NAN]], "list", 1),
        (["b", "a "], ["a", "b"], "set", None),
        ([2.001, 1, None, True], [True, NAN, 1.004, 2], "set", 2),
    ],
)
def test_right(answer, truth, kind, decimals):
    judgement = judge(answer, truth, kind, decimals)
    assert judgement.correct
    assert judgement.detail == ""


@pytest.mark.parametrize(
    ("answer", "truth", "kind", "decimals", "rule"),
    [
        (0.35, 0.44, "number", 2, "number"),
        (0.0001, 0.0019, "number", 4, "number"),
        (1_000_000.0, 1_000_000.2, "number", 1, "number"),
        (0.8, -0.8, "number", 1, "number"),
        (1e15, 1e15 + 0.625, "number", 2, "number"),
        (True, 1.05, "number", 0, "type"),
        (True, 1, "integer", None, "type"),
        (1, True, "boolean", None, "type"),
        (True, False, "boolean", None, "boolean"),
        ("about 3", 3, "integer", None, "type"),
        ("3.5", 3, "integer", None, "integer"),
        ("9" * 5000, 3, "integer", None, "type"),
        ("maybe", True, "boolean", None, "type"),
        ("no", True, "boolean", None, "boolean"),
        ("2024-01-05T10:00:00", "2024-01-05", "date", None, "date"),
        ("05.01.2024", "2024-01-05", "date", None, "date"),
        (None, "2024-01-05", "date", None, "missing"),
        ("2024-01-05T00:00:00+02:00", "2024-01-05", "date", None, "date"),
        ({"a": 1}, {"a": 1, "b": 2}, "object", None, "object"),
        ({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}, "object", None, "object"),
        ({"a": 1, "c": 2}, {"a": 1, "b": 2}, "object", None, "object"),
        ({"A": 1}, {"a": 1}, "object", None, "object"),
        ({"7": 1, "7.0": 1}, {"7": 1, "8": 1}, "object", None, "object"),
        ({"7": 2, "7.0": 1}, {"7": 1}, "object", None, "object"),
        ({"a": None}, {"a": 1}, "object", None, "object"),
        ({"n": 7.004}, {"n": 7}, "object", 2, "object"),
        ({"n": True}, {"n": 1}, "object", None, "object"),
        ([["a", 1]], {"a": 1}, "object", None, "type"),
        (3.4, 3, "integer", None, "integer"),
        (10**20 + 1, 10**20, "integer", None, "integer"),
        ({"count": 3, "p": 0.001}, 3, "integer", None, "type"),
        ([3], 3, "integer", None, "type"),
        ("Bern Basel", "Bern  Basel", "text", None, "text"),
        (NAN, 3.0, "number", 2, "missing"),
        (None, 3, "integer", None, "missing"),
        (3, None, "integer", None, "missing"),
        ("", None, "text", None, "missing"),
        (0, NAN, "number", 0, "missing"),
        (math.inf, 1e300, "number", 2, "number"),
        (10**400, 1.0, "number", 2, "number"),
        (-(10**400), 10**400, "number", 2, "number"),
        (["a", "b"], ["b", "a"], "list", None, "list"),
        (["a"], ["a", "b"], "list", None, "list"),
        ("a", ["a"], "list", None, "type"),
        ([1.01], [1.0], "list", 2, "list"),
        ([True], [1], "list", None, "list"),
        ([["a", 2]], [["a", 1]], "list", None, "list"),
        (["a", "a"], ["a", "b"], "set", None, "set"),
        (["a", "a"], ["a"], "set", None, "set"),
        (["a", ["b"]], ["a", "b"], "set", None, "set"),
        ([True, 0], [1, 0], "set", None, "set"),
    ],
)
def test_wrong(answer, truth, kind, decimals, rule):
    judgement = judge(answer, truth, kind, decimals)
    assert not judgement.correct
    assert judgement.rule == rule
    assert judgement.detail


@pytest.mark.parametrize(
    ("truth", "kind", "decimals"),
    [
        (1.5, "number", None),
        (1.5, "number", -1),
        (1.5, "integer", None),
        (3.0, "integer", None),
        (True, "integer", None),
        (1, "boolean", None),
        (1, "text", None),
        ("a", "list", None),
        ([1.5], "list", None),
        ([[1.5]], "list", None),
        ([["a"]], "set", None),
        ([{}], "list", None),
        (math.inf, "number", 2),
        (1, "figure", None),
        ("5 January 2024", "date", None),
        (20240105, "date", None),
        ([1], "object", None),
        ({"a": 1.5}, "object", None),
        ({"a": {1}}, "object", None),
        ({"a": [{}]}, "object", None),
        ({"7": 1, "7.0": 2}, "object", None),
    ],
)
def test_question_that_does_not_fit_together_is_refused(truth, kind, decimals):
    with pytest.raises(ValueError, match=r"\w"):
        judge(truth, truth, kind, decimals)


@pytest.mark.parametrize(("decimals", "significant"), [(2, 3), (None, 0), (None, None)])
def test_a_number_states_one_precision(decimals, significant):
    with pytest.raises(ValueError, match=r"\w"):
        judge(1.5, 1.5, "number", decimals, significant)


@pytest.mark.parametrize(
    ("answer", "kind", "decimals", "truth"),
    [
        (5.0, "integer", None, 5),
        ("5", "integer", None, 5),
        ("3.14", "number", 2, 3.14),
        (5.0, "number", 2, 5.0),
        ("Yes", "boolean", None, True),
        ("2024-01-05", "date", None, "2024-01-05"),
        (None, "number", 2, None),
    ],
)
def test_an_answer_becomes_the_truth_for_others(answer, kind, decimals, truth):
    found = as_truth(answer, kind, decimals)
    assert (found, type(found)) == (truth, type(truth))
    assert judge(answer, found, kind, decimals).correct


@pytest.mark.parametrize(
    ("answer", "kind"), [(5.5, "integer"), ([1], "text"), ("soon", "date"), ("x", "number")]
)
def test_an_answer_of_another_form_is_no_truth(answer, kind):
    with pytest.raises(ValueError, match=r"\w"):
        as_truth(answer, kind, 2)


dates = st.datetimes().map(lambda d: d.isoformat()) | st.dates().map(lambda d: d.isoformat())
nested = st.recursive(scalars | dates, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
truths = {
    "integer": st.integers(-5, 5) | st.none(),
    "number": st.floats(-2, 2) | st.integers(-2, 2) | st.just(NAN),
    "text": st.text(max_size=2),
    "boolean": st.booleans(),
    "date": dates,
    "list": st.lists(nested, max_size=2),
    "set": st.lists(scalars | dates, max_size=2),
    "object": st.dictionaries(st.sampled_from("abc"), nested, max_size=2),
}
pairs = st.sampled_from(ANSWER_TYPES).flatmap(
    lambda kind: st.tuples(st.just(kind), truths[kind], truths[kind])
)


def test_every_type_has_truths():
    assert truths.keys() == set(ANSWER_TYPES)


@given(pairs)
def test_every_truth_is_right_about_itself(pair):
    kind, truth, _ = pair
    assert judge(truth, truth, kind, 2).correct


@given(pairs)
def test_two_truths_are_right_about_each_other_or_neither_is(pair):
    kind, one, other = pair
    assume(kind != "object")  # there an integer in the truth is exact and a fraction is not
    assert judge(one, other, kind, 2).correct == judge(other, one, kind, 2).correct


@given(scalars, scalars)
def test_values_of_different_kinds_are_never_equal(answer, truth):
    kinds = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "none"}
    assume(kinds[type(answer)] != kinds[type(truth)])
    assert not judge([answer], [truth], "list", 3).correct
    assert not judge([answer], [truth], "set", 3).correct


@given(st.lists(scalars, max_size=6), st.randoms())
def test_truth_is_right_as_list_and_in_any_order_as_set(truth, random):
    assert judge(truth, truth, "list", 2).correct
    shuffled = random.sample(truth, len(truth))
    assert judge(shuffled, truth, "set", 2).correct
    assert judge(shuffled, truth, "list", 9).correct == all(
        judge([a], [t], "list", 9).correct for a, t in zip(shuffled, truth, strict=True)
    )


@given(reals, st.integers(0, 6))
def test_rounding_to_the_stated_decimals_is_right(truth, decimals):
    assert judge(round(truth, decimals), truth, "number", decimals).correct
    assert judge(truth, round(truth, decimals), "number", decimals).correct


@given(st.integers(-(10**6), 10**6), st.integers(0, 4), st.integers(-3000, 3000))
def test_margin_is_half_a_unit_of_the_last_decimal(units, decimals, thousandths):
    unit = Decimal(1).scaleb(-decimals)
    truth = units * unit
    answer = truth + unit * thousandths / 1000
    judgement = judge(float(answer), float(truth), "number", decimals)
    assert judgement.correct == (abs(thousandths) <= 500)


@pytest.mark.parametrize(
    ("answer", "truth", "kind", "significant", "right"),
    [
        (1200, 1234, "number", 2, True),
        (1284.0, 1234, "number", 2, True),
        (1284.5, 1234, "number", 2, False),
        (1183.5, 1234, "number", 2, False),
        (-1284.0, -1234, "number", 2, True),
        (-1284.5, -1234, "number", 2, False),
        (0.001239, 0.001234, "number", 3, True),
        (0.00124, 0.001234, "number", 3, False),
        (0.0, 0.0, "number", 3, True),
        (1e-9, 0.0, "number", 3, False),
        (1000.4, 1000, "number", 4, True),
        (999.4, 1000, "number", 4, False),
        ([1200, 0.3], [1234, 0.3], "list", 2, True),
        ([1200, 0.4], [1234, 0.3], "list", 2, False),
        ([0.3, 1200], [1234, 0.3], "set", 2, True),
        ({"a": 1200.0, "n": 7.0}, {"a": 1234.0, "n": 7}, "object", 2, True),
        ({"a": 1200.0, "n": 7.01}, {"a": 1234.0, "n": 7}, "object", 2, False),
    ],
)
def test_significant_digits(answer, truth, kind, significant, right):
    assert judge(answer, truth, kind, None, significant).correct is right


@given(
    st.integers(1, 999_999).flatmap(lambda m: st.sampled_from([m, -m])),
    st.integers(-8, 8),
    st.integers(1, 6),
    st.integers(-3000, 3000),
)
def test_margin_is_half_a_unit_of_the_last_significant_digit(mantissa, power, digits, thousandths):
    truth = Decimal(mantissa).scaleb(power)
    unit = Decimal(1).scaleb(truth.adjusted() + 1 - digits)
    judgement = judge(
        float(truth + unit * thousandths / 1000), float(truth), "number", None, digits
    )
    assert judgement.correct == (abs(thousandths) <= 500)


def test_what_did_not_fit_is_told_with_the_stated_precision():
    def detail(answer, truth, kind, *precision):
        return judge(answer, truth, kind, *precision).detail

    assert detail(2.0, 1.0, "number", 2) == "not within half a unit of decimal 2"
    assert detail(2.0, 1.0, "number", None, 2) == "not within half a unit of significant digit 2"
    assert detail(["a", "c"], ["a", "b"], "list", None) == "element 2: different text"
    assert detail({"a": 1}, {"a": 2}, "object", None) == "a: different value"
    assert detail([1], [1, 2], "set", None) == "1 elements, not 2"
    assert detail("x", 1, "integer", None) == "text, not number"
    assert detail(None, 1, "integer", None) == "missing instead of number"


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
    st.lists(st.integers(0, 30), min_size=1, max_size=5),
)
def test_set_of_numbers_is_right_when_some_pairing_is(answer, truth):
    """In steps of 0.3 of the margin's unit, so that margins overlap."""
    found = [value * 0.3 for value in answer]
    wanted = [value * 0.3 for value in truth]
    some = len(found) == len(wanted) and any(
        judge(list(order), wanted, "list", 0).correct for order in itertools.permutations(found)
    )
    assert judge(found, wanted, "set", 0).correct == some


near_ten = st.lists(st.integers(-1010, -985) | st.integers(985, 1010), min_size=1, max_size=4)


@given(near_ten, near_ten)
@example([996, 999], [999, 1000])  # 10.0 accepts what 9.99 does not
@example([-999, -996], [-1000, -999])  # -9.99 ends before -10.0
def test_so_it_is_where_the_margins_differ(answer, truth):
    """Around 10 with three significant digits: half a hundredth below it, half a tenth above."""
    found = [value / 100 for value in answer]
    wanted = [value / 100 for value in truth]
    some = len(found) == len(wanted) and any(
        judge(list(order), wanted, "list", None, 3).correct
        for order in itertools.permutations(found)
    )
    assert judge(found, wanted, "set", None, 3).correct == some


@given(
    st.recursive(scalars | texts | st.just(math.inf), lambda inner: st.lists(inner, max_size=3)),
    scalars,
)
def test_any_answer_gets_a_verdict(answer, truth):
    for kind in ANSWER_TYPES:
        try:
            judge(truth, truth, kind, 2)
        except ValueError:
            continue
        assert judge(answer, truth, kind, 2).rule
