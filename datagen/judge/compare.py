"""The one judge: is an answer right, by type, against the truth?

Strict on purpose. A bool is not a number, sign and case matter, a list has an order, a set has each
element as often as the truth has it, an object has the truth's keys. An integer may come as a float
of exactly that value, because pandas turns counts into floats. Missing (None, NaN) is right exactly
where the truth is missing. What a text stands for is stated in `answer_types.value_of_text`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from datagen.judge.answer_types import (
    AnswerType,
    Kind,
    date_of,
    kind_of,
    plain_key,
    plain_text,
    value_of_text,
)
from datagen.judge.truth_form import check_question

_SLACK = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Judgement:
    """``rule`` names what decided; ``detail`` describes briefly what did not fit, else is empty."""

    correct: bool
    rule: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a question states: decimals, significant digits or neither; units. `whole`: integers exact."""

    decimals: int | None
    significant: int | None
    units: str | None
    whole: bool


def judge(
    answer: object,
    truth: object,
    answer_type: AnswerType,
    decimals: int | None,
    significant: int | None = None,
    units: str | None = None,
) -> Judgement:
    """Compare a submitted ``answer`` (a JSON value) with ``truth`` (a plain Python value).

    ``decimals`` or ``significant`` digits is the precision the question states: a number is right
    within half a unit of its last decimal or digit. One of them is needed for "number" and for
    fractional numbers in a list, set or object; an integer in an object is still exact. ``units`` are
    those that the question states.

    Raises ValueError when truth, type and precision do not fit together: the question is wrong then,
    not the answer.
    """
    check_question(truth, answer_type, decimals, significant)
    units = None if answer_type == "object" else units
    stated = _Stated(decimals, significant, units, whole=answer_type in {"integer", "object"})
    if (
        answer_type == "set"
        and isinstance(truth, list | tuple)
        and isinstance(answer, list | tuple)
    ):
        return _judge_set(answer, truth, stated)
    return _judge_value(answer, truth, stated)


def _judge_value(answer: object, truth: object, stated: _Stated) -> Judgement:
    wanted = kind_of(truth)
    answer = value_of_text(answer, wanted, stated.units)
    found = kind_of(answer)
    if "missing" in {found, wanted}:
        same = found == wanted
        return Judgement(same, "missing", "" if same else f"{found} instead of {wanted}")
    if found != wanted:
        return Judgement(False, "type", f"{found or type(answer).__name__}, not {wanted}")
    if isinstance(answer, list | tuple) and isinstance(truth, list | tuple):
        return _judge_list(answer, truth, stated)
    if isinstance(answer, dict) and isinstance(truth, dict):
        return _judge_object(answer, truth, stated)
    if wanted == "number":
        return _judge_number(answer, truth, stated)
    if wanted == "text":
        same = plain_text(str(answer)) == plain_text(str(truth))
        rule = "text" if date_of(str(truth)) is None else "date"
        return Judgement(same, rule, "" if same else f"different {rule}")
    return Judgement(answer == truth, "boolean", "" if answer == truth else "the opposite value")


def _judge_number(answer: object, truth: object, stated: _Stated) -> Judgement:
    assert isinstance(answer, int | float)
    assert isinstance(truth, int | float)
    exact = stated.decimals is None and stated.significant is None
    if exact or (stated.whole and isinstance(truth, int)):
        return Judgement(answer == truth, "integer", "" if answer == truth else "different value")
    same = _near(answer, truth, stated)
    last = (
        f"decimal {stated.decimals}"
        if stated.significant is None
        else f"significant digit {stated.significant}"
    )
    return Judgement(same, "number", "" if same else f"not within half a unit of {last}")


def _near(answer: float, truth: float, stated: _Stated) -> bool:
    try:
        if not math.isfinite(answer):
            return False
        # Where a float cannot hold the stated digits, two right routes differ by its last bits.
        bits = 4 * max(math.ulp(answer), math.ulp(truth))
        return abs(answer - truth) <= max(_half_unit(truth, stated) * _SLACK, bits)
    except OverflowError:  # an integer beyond any float
        return answer == truth


def _half_unit(truth: float, stated: _Stated) -> float:
    """Half a unit of the last stated decimal, or of the truth's last stated digit."""
    if stated.significant is None:
        return 0.5 * 10.0 ** -(stated.decimals or 0)
    if truth == 0:
        return 0.0
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(truth))) + 1 - stated.significant)


def _judge_list(answer: Sequence[object], truth: Sequence[object], stated: _Stated) -> Judgement:
    if len(answer) != len(truth):
        return Judgement(False, "list", f"{len(answer)} elements, not {len(truth)}")
    for position, (found, wanted) in enumerate(zip(answer, truth, strict=True), start=1):
        element = _judge_value(found, wanted, stated)
        if not element.correct:
            return Judgement(False, "list", f"element {position}: {element.detail}")
    return Judgement(True, "list")


def _judge_object(
    answer: Mapping[str, object], truth: Mapping[str, object], stated: _Stated
) -> Judgement:
    """Every key of the truth with its value, and no other key."""
    found = {plain_key(str(key)): value for key, value in answer.items()}
    wanted = {plain_key(str(key)): value for key, value in truth.items()}
    if len(found) < len(answer) or found.keys() != wanted.keys():
        return Judgement(False, "object", "different keys")
    for key, value in wanted.items():
        judgement = _judge_value(found[key], value, stated)
        if not judgement.correct:
            return Judgement(False, "object", f"{key}: {judgement.detail}")
    return Judgement(True, "object")


def _judge_set(answer: Sequence[object], truth: Sequence[object], stated: _Stated) -> Judgement:
    """Pair the elements in some order.

    Each answer, in ascending order, takes the truth that ends first of those it fits: that finds a
    pairing whenever there is one (Glover 1967, convex bipartite graphs), also where significant digits
    give a truth just above a power of ten ten times the margin of one just below.
    """
    if len(answer) != len(truth):
        return Judgement(False, "set", f"{len(answer)} elements, not {len(truth)}")
    if any(kind_of(element) not in _ORDER for element in answer):
        return Judgement(False, "set", "an element is a list or an object")
    left = sorted(truth, key=lambda wanted: _ends(wanted, stated))
    for found in sorted(answer, key=lambda x: _sort_key(value_of_text(x, "number", stated.units))):
        fitting = (i for i, w in enumerate(left) if _judge_value(found, w, stated).correct)
        first = next(fitting, None)
        if first is None:
            return Judgement(False, "set", "different elements")
        del left[first]
    return Judgement(True, "set")


def _ends(truth: object, stated: _Stated) -> tuple[int, float, str]:
    """Sorts truths by the largest number that each accepts."""
    kind, number, text = _sort_key(truth)
    if kind == _ORDER["number"]:
        with suppress(OverflowError):  # an integer beyond any float: only itself is accepted
            number += _half_unit(number, stated)
    return kind, number, text


_ORDER: dict[Kind | None, int] = {"missing": 0, "boolean": 1, "number": 2, "text": 3}


def _sort_key(element: object) -> tuple[int, float, str]:
    kind = kind_of(element)
    if kind in {"boolean", "number"}:
        assert isinstance(element, int | float)
        return _ORDER[kind], element, ""
    return _ORDER[kind], 0, plain_text(str(element)) if kind == "text" else ""
