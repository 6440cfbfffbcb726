"""The one judge: is an answer right, by type, against the truth?

Strict on purpose. A bool is not a number, a numeric string is not a number, sign and case matter, a
list has an order, a set has each element as often as the truth has it. An integer may come as a
float of exactly that value, because pandas turns counts into floats. Missing (None, NaN) is right
exactly where the truth is missing.
"""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

AnswerType = Literal["integer", "number", "text", "boolean", "list", "set"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

_Kind = Literal["missing", "boolean", "number", "text", "list"]
_SLACK = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Judgement:
    """``rule`` names what decided; ``detail`` says in a few words what did not fit, else is empty."""

    correct: bool
    rule: str
    detail: str = ""


def judge(
    answer: object, truth: object, answer_type: AnswerType, decimals: int | None
) -> Judgement:
    """Compare a submitted ``answer`` (a JSON value) with ``truth`` (a plain Python value).

    ``decimals`` is the precision the question states: a number is right within half a unit of its
    last decimal. Needed for "number" and for fractional numbers in a list or set.

    Raises ValueError when truth, type and decimals do not fit together: the question is wrong then,
    not the answer.
    """
    _check_question(truth, answer_type, decimals)
    if answer_type in {"list", "set"} and _kind(truth) == "list" and _kind(answer) == "list":
        assert isinstance(answer, list | tuple)
        assert isinstance(truth, list | tuple)
        if answer_type == "set":
            return _judge_set(answer, truth, decimals)
        return _judge_list(answer, truth, decimals)
    return _judge_value(answer, truth, None if answer_type == "integer" else decimals)


def _judge_value(answer: object, truth: object, decimals: int | None) -> Judgement:
    found, wanted = _kind(answer), _kind(truth)
    if "missing" in {found, wanted}:
        same = found == wanted
        return Judgement(same, "missing", "" if same else f"{found} where {wanted} was due")
    if found != wanted:
        return Judgement(False, "type", f"{found or type(answer).__name__}, not {wanted}")
    if wanted == "list":
        assert isinstance(answer, list | tuple)
        assert isinstance(truth, list | tuple)
        return _judge_list(answer, truth, decimals)
    if wanted == "number":
        return _judge_number(answer, truth, decimals)
    if wanted == "text":
        same = str(answer).strip() == str(truth).strip()
        return Judgement(same, "text", "" if same else "another text")
    return Judgement(answer == truth, "boolean", "" if answer == truth else "the other one")


def _judge_number(answer: object, truth: object, decimals: int | None) -> Judgement:
    assert isinstance(answer, int | float)
    assert isinstance(truth, int | float)
    if decimals is None:
        return Judgement(answer == truth, "integer", "" if answer == truth else "another value")
    same = _near(answer, truth, decimals)
    return Judgement(
        same, "number", "" if same else f"not within half a unit of decimal {decimals}"
    )


def _near(answer: float, truth: float, decimals: int) -> bool:
    try:
        # Where a float cannot hold the stated decimals, two right routes differ by its last bits.
        margin = max(0.5 * 10.0**-decimals * _SLACK, 4 * math.ulp(truth))
        return abs(answer - truth) <= margin
    except OverflowError:  # an integer beyond any float
        return answer == truth


def _judge_list(
    answer: Sequence[object], truth: Sequence[object], decimals: int | None
) -> Judgement:
    if len(answer) != len(truth):
        return Judgement(False, "list", f"{len(answer)} elements, not {len(truth)}")
    for position, (found, wanted) in enumerate(zip(answer, truth, strict=True), start=1):
        element = _judge_value(found, wanted, decimals)
        if not element.correct:
            return Judgement(False, "list", f"element {position}: {element.detail}")
    return Judgement(True, "list")


def _judge_set(
    answer: Sequence[object], truth: Sequence[object], decimals: int | None
) -> Judgement:
    """Pair the elements. Sorting pairs numbers with equal margins whenever any pairing exists."""
    if len(answer) != len(truth):
        return Judgement(False, "set", f"{len(answer)} elements, not {len(truth)}")
    if any(_kind(element) not in _ORDER for element in answer):
        return Judgement(False, "set", "an element is a list or an object")
    pairs = zip(sorted(answer, key=_sort_key), sorted(truth, key=_sort_key), strict=True)
    if all(_judge_value(found, wanted, decimals).correct for found, wanted in pairs):
        return Judgement(True, "set")
    return Judgement(False, "set", "other elements")


_ORDER: dict[_Kind | None, int] = {"missing": 0, "boolean": 1, "number": 2, "text": 3}


def _sort_key(element: object) -> tuple[int, float, str]:
    kind = _kind(element)
    if kind in {"boolean", "number"}:
        assert isinstance(element, int | float)
        return _ORDER[kind], element, ""
    return _ORDER[kind], 0, str(element).strip() if kind == "text" else ""


def _kind(value: object) -> _Kind | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "list"
    return None


def _check_question(truth: object, answer_type: AnswerType, decimals: int | None) -> None:
    kinds: dict[AnswerType, _Kind] = {
        "integer": "number",
        "number": "number",
        "text": "text",
        "boolean": "boolean",
        "list": "list",
        "set": "list",
    }
    if answer_type not in kinds:
        raise ValueError(f"unknown answer type {answer_type!r}; known: {', '.join(ANSWER_TYPES)}")
    if decimals is not None and decimals < 0:
        raise ValueError(f"decimals is {decimals}; it is a count of decimals or None")
    if answer_type == "number" and decimals is None:
        raise ValueError("a number needs its stated decimals")
    kind = _kind(truth)
    if kind not in {kinds[answer_type], "missing"}:
        raise ValueError(f"the truth is a {type(truth).__name__}, the answer type {answer_type}")
    if answer_type == "integer" and kind == "number" and not isinstance(truth, numbers.Integral):
        raise ValueError("the truth of an integer question is a float")
    for element in truth if isinstance(truth, list | tuple) else [truth]:
        _check_element(element, nested=answer_type == "list", decimals=decimals)


def _check_element(element: object, *, nested: bool, decimals: int | None) -> None:
    kind = _kind(element)
    if kind is None or (kind == "list" and not nested):
        raise ValueError(f"the truth holds a {type(element).__name__}")
    if isinstance(element, list | tuple):
        for inner in element:
            _check_element(inner, nested=nested, decimals=decimals)
    elif isinstance(element, float) and kind == "number":
        if math.isinf(element):
            raise ValueError("the truth is infinite")
        if decimals is None and not element.is_integer():
            raise ValueError("the truth holds a fraction and no decimals are stated")
