"""Answers as values: their types and kinds, how text spells them, and what a truth has to be."""

from __future__ import annotations

import datetime as dt
import math
import numbers
import re
from typing import Literal, get_args

AnswerType = Literal["integer", "number", "text", "boolean", "date", "list", "set", "object"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

Kind = Literal["missing", "boolean", "number", "text", "list", "object"]

NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?")
# As written by Python and pandas; a leading zero means a code, not a number.
PLAIN = re.compile(r"-?(0|[1-9]\d{0,15})(\.\d{1,15})?")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
BOOLEAN_WORDS = {"true": True, "yes": True, "false": False, "no": False}
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


def kind_of(value: object) -> Kind | None:
    """The kind of a JSON value; None for anything else. None and NaN are missing."""
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
    return "object" if isinstance(value, dict) else None


def value_of_text(answer: object, answer_type: AnswerType) -> object:
    """The value that a text stands for, if the question's type determines it.

    "3.5" is a number where a number is due, "yes" and "True" are booleans where one is due. Where
    text is due a text stays as it is, and case matters: the values of a table may differ in case only.
    """
    if not isinstance(answer, str):
        return answer
    text = answer.strip()
    if answer_type in {"integer", "number"} and NUMBER.fullmatch(text):
        return float(text) if set(text) & set(".eE") else int(text)
    if answer_type == "boolean":
        return BOOLEAN_WORDS.get(text.lower(), answer)
    return answer


def date_of(text: str) -> dt.datetime | None:
    """The instant that an ISO date or date and time names; a date is its midnight."""
    if not DATE.fullmatch(text.strip()):
        return None
    try:
        found = dt.datetime.fromisoformat(text.strip())
        return found if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def plain_text(text: str) -> str:
    """The form in which two texts that say the same are equal: trimmed, a date as its instant."""
    found = date_of(text)
    return text.strip() if found is None else found.isoformat()


def plain_key(key: str) -> str:
    """As `plain_text`; a number is its value too, because pandas makes 7 to 7.0 beside a gap."""
    text = plain_text(key)
    return repr(float(text) + 0.0) if PLAIN.fullmatch(text) else text


def as_truth(
    answer: object, answer_type: AnswerType, decimals: int | None, significant: int | None = None
) -> object:
    """An answer in the form a truth has, so that other answers can be judged against it.

    Raises ValueError when it does not have the form that the question requires.
    """
    value = value_of_text(answer, answer_type)
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
    if answer_type == "integer" and kind == "number" and not isinstance(truth, numbers.Integral):
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
