import pytest

from datagen.questions.family import Unasked
from datagen.questions.form import Form, in_form, worth_asking


def form(kind="number", decimals=2) -> Form:
    return Form(type=kind, decimals=decimals, units=None, sentence="", submitted="")


def test_numbers_are_rounded_and_whole_numbers_are_int():
    assert in_form(1.23456, form()) == 1.23
    assert in_form([1.23456, "a", 2], form("list")) == [1.23, "a", 2]
    assert in_form({"mean": 1.23456, "rows": 2}, form("object")) == {"mean": 1.23, "rows": 2}
    assert in_form(3.0, form("integer", None)) == 3
    assert isinstance(in_form(3.0, form("integer", None)), int)


@pytest.mark.parametrize("value", [0.125, 2.675, -1.005, 7.5])
def test_a_value_on_a_rounding_border_is_refused(value: float):
    decimals = 0 if value == 7.5 else 2
    with pytest.raises(Unasked, match="rounding border"):
        in_form(value, form(decimals=decimals))


@pytest.mark.parametrize("truth", [None, 0, 0.0, "", [], ["a", "a"], [1, 1, 1]])
def test_answers_that_say_nothing_are_refused(truth: object):
    with pytest.raises(Unasked, match="degenerate"):
        worth_asking(truth, form())


@pytest.mark.parametrize("truth", [1, -0.5, "x", ["a"], ["a", "b", "a"]])
def test_others_are_asked(truth: object):
    worth_asking(truth, form())


def test_false_is_an_answer():
    worth_asking(False, form("boolean", None))
