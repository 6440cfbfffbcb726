"""The form of a truth: its value, type and stated precision fit together."""

from __future__ import annotations

import math

from datagen.judge.answer_types import (
    ANSWER_TYPES,
    AnswerType,
    Kind,
    date_of,
    kind_of,
    plain_key,
    value_of_text,
)

_KIND_OF_TYPE: dict[AnswerType, Kind] = {
    "integer": "number",
    "number": "number",
    "text": "text",
    "boolean": "boolean",
    "date": "text",
    "list": "list",
    "set": "list",
    "object": "object",
}


def as_truth(
    answer: object,
    answer_type: AnswerType,
    decimals: int | None,
    significant: int | None = None,
    units: str | None = None,
) -> object:
    """An answer in the form a truth has, so that other answers can be judged against it.

    Raises ValueError when it does not have the form that the question requires.
    """
    value = value_of_text(answer, _KIND_OF_TYPE.get(answer_type), units)
    if answer_type == "integer" and isinstance(value, float) and value.is_integer():
        value = int(value)
    check_question(value, answer_type, decimals, significant)
    return value


def check_question(
    truth: object, answer_type: AnswerType, decimals: int | None, significant: int | None = None
) -> None:
    """Raise ValueError when truth, type and precision do not fit together."""
    if answer_type not in _KIND_OF_TYPE:
        raise ValueError(f"unknown answer type {answer_type!r}; known: {', '.join(ANSWER_TYPES)}")
    if decimals is not None and decimals < 0:
        raise ValueError(f"decimals is {decimals}, not a count of decimals or None")
    if significant is not None and significant < 1:
        raise ValueError(f"significant is {significant}, not a count of digits or None")
    if decimals is not None and significant is not None:
        raise ValueError("decimals and significant digits are both stated")
    precise = decimals is not None or significant is not None
    if answer_type == "number" and not precise:
        raise ValueError("a number needs its stated decimals or significant digits")
    kind = kind_of(truth)
    if kind not in {_KIND_OF_TYPE[answer_type], "missing"}:
        raise ValueError(
            f"the truth is a {type(truth).__name__}, but the answer type is {answer_type}"
        )
    if answer_type == "integer" and kind == "number" and isinstance(truth, float):
        raise ValueError("the truth of an integer question is a float")
    if answer_type == "date" and isinstance(truth, str) and date_of(truth) is None:
        raise ValueError(f"the truth {truth!r} is not an ISO date")
    _check_value(truth, precise=precise, inside=None if answer_type == "set" else ())


def _check_value(value: object, *, precise: bool, inside: tuple[Kind, ...] | None) -> None:
    """`inside` names the containers around the value; None stands for a set, which holds no more."""
    kind = kind_of(value)
    if kind is None:
        raise ValueError(f"the truth holds a {type(value).__name__}")
    if isinstance(value, dict):
        if inside is None or "list" in inside:
            raise ValueError("the truth holds an object in a list")
        if len({plain_key(str(key)) for key in value}) < len(value):
            raise ValueError("the truth names a key twice")
        for inner in value.values():
            _check_value(inner, precise=precise, inside=(*inside, "object"))
    elif isinstance(value, list | tuple):
        for inner in value:
            if inside is None and isinstance(inner, list | tuple | dict):
                raise ValueError(f"the truth holds a {type(inner).__name__}")
            _check_value(inner, precise=precise, inside=(*(inside or ()), "list"))
    elif isinstance(value, float) and kind == "number":
        if math.isinf(value):
            raise ValueError("the truth is infinite")
        if not precise and not value.is_integer():
            raise ValueError("the truth holds a fraction, but no precision is stated")
