"""Text in answers: the verdicts that a person wrote down, and Python's own formats as a second writer."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.judge.compare import judge
from datagen.judge.truth_form import as_truth

TRUTHS = tomllib.loads(Path(__file__).with_name("text_verdicts.toml").read_text("utf-8"))["truths"]
PAIRS = [
    (answer, case, right)
    for case in TRUTHS
    for right in (True, False)
    for answer in case["right" if right else "wrong"]
]


def form_of(case):
    return case["type"], case.get("decimals"), case.get("significant"), case.get("units")


@pytest.mark.parametrize(("answer", "case", "right"), PAIRS)
def test_a_verdict_is_the_one_that_a_person_wrote_down(answer, case, right):
    judgement = judge(answer, case["truth"], *form_of(case))
    assert judgement.correct is right
    assert bool(judgement.detail) is not right


@pytest.mark.parametrize("text", ["", " ", "None", "nan", "NaN", "null", "NA", "-", "0", "no"])
@pytest.mark.parametrize("missing", [None, float("nan")])
@pytest.mark.parametrize("kind", ["integer", "number", "boolean", "text", "date"])
def test_no_text_stands_for_a_missing_value(text, missing, kind):
    assert judge(text, missing, kind, 2).rule == "missing"
    assert not judge(text, missing, kind, 2).correct
    assert not judge([text], [missing], "set", 2).correct


@pytest.mark.parametrize(("answer", "case"), [(a, c) for a, c, right in PAIRS if right])
def test_an_accepted_answer_is_the_same_truth_for_others(answer, case):
    if case["type"] in {"integer", "boolean"}:
        found = as_truth(answer, *form_of(case))
        assert (found, type(found)) == (case["truth"], type(case["truth"]))


@given(st.integers(-(10**30), 10**30), st.sampled_from(["d", ",", "+", "+,"]), st.booleans())
def test_an_integer_is_read_as_python_prints_it(value, style, typographic):
    text = format(value, style)
    text = text.replace("-", "\u2212") if typographic else text
    assert judge(text, value, "integer", None).correct
    assert not judge(text, value + 1, "integer", None).correct
    assert judge({"a": [text]}, {"a": [value]}, "object", None).correct


@given(st.floats(-1e12, 1e12), st.integers(0, 6), st.sampled_from("f,eg"))
def test_a_number_is_read_as_python_prints_it(value, decimals, style):
    form = {"f": f".{decimals}f", ",": f",.{decimals}f", "e": ".17e", "g": ".17g"}[style]
    assert judge(format(value, form), value, "number", decimals).correct


@given(st.text("0123456789,.-+ e%$", max_size=9), st.integers(-999, 99999))
def test_what_python_reads_otherwise_is_refused(text, truth):
    """`int` and `float` know no group marks; with them, only what Python prints is accepted."""
    if judge(text, truth, "integer", None).correct:
        plain = text.strip().removeprefix("+")
        assert float(plain.replace(",", "")) == truth
        assert "," not in plain or plain.partition(".")[0].partition("e")[0] in {
            format(n, ",") for n in (truth, int(float(plain.partition("e")[0].replace(",", ""))))
        }
