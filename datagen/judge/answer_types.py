"""Answers as values: their types and kinds, what a text stands for, and what a truth has to be."""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from decimal import Decimal
from typing import Literal, get_args

AnswerType = Literal["integer", "number", "text", "boolean", "date", "list", "set", "object"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)

Kind = Literal["missing", "boolean", "number", "text", "list", "object"]

NUMBER = re.compile(r"[+-]?([1-9]\d{0,2}(,\d{3}){1,12}|\d{1,40})(\.\d{0,40})?([eE][+-]?\d{1,3})?")
UNIT = re.compile(r"[^\W\d_]+|[%$€£¥₹]")
SIGNS = {"percent": "%", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
# As written by Python and pandas; a leading zero means a code, not a number.
PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
BOOLEANS = {"yes": True, "no": False, "true": True, "false": False}
BOOLEANS |= {"y": True, "n": False, "t": True, "f": False}
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


def value_of_text(answer: object, wanted: Kind | None, units: str | None = None) -> object:
    """The value that an answer stands for where the truth is of the kind `wanted`.

    This is the one rule for numbers, booleans and dates as text. It holds for an answer that is one
    value and for each value in a list, set or object:

    - For a number: digits with at most one sign (+, - or U+2212), one decimal point and one exponent.
      Commas may separate all groups of three digits. If the question states `units` as one word or
      sign, that word or its sign may stand beside the number: 5% is 5 in percent, and no number where
      percent is not stated. The values of an object have no stated unit.
    - For a boolean: true, yes, y, t and false, no, n, f in any case.
    - For a text: an ISO date or time is its instant (`plain_text`). Everything else stays as it is,
      and case matters, because the values of a table may differ in case only.

    Spaces at the ends do not count. Numbers, booleans and dates are read as NFKC normalises them;
    digits that NFKC changes in value (10² to 102) are refused. No text stands for a missing value,
    and no number or boolean for a text or for each other.
    """
    if not isinstance(answer, str):
        return answer
    text = _normalised(answer)
    if wanted == "boolean":
        return BOOLEANS.get(text.lower(), answer)
    if wanted != "number":
        return answer
    if not NUMBER.fullmatch(text) and units and UNIT.fullmatch(units):
        names = next((pair for pair in SIGNS.items() if units in pair), (units,))
        unit = "|".join(map(re.escape, names))
        text = re.sub(rf"^([+-]?)(?:{unit}) ?|(?<=\d) ?(?:{unit})$", r"\1", text, count=1)
    if not NUMBER.fullmatch(text):
        return answer
    number = Decimal(text.replace(",", ""))
    return int(number) if number == number.to_integral_value() else float(number)


def _normalised(text: str) -> str:
    if not any(c.isnumeric() and not c.isdecimal() for c in text):
        text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    return text.strip()


def date_of(text: str) -> dt.datetime | None:
    """The instant that an ISO date or date and time names; a date is its midnight."""
    text = _normalised(text)
    if not DATE.fullmatch(text):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
        return found if found.tzinfo is None else found.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def plain_text(text: str) -> str:
    """The form in which two texts that say the same are equal: trimmed, a date as its instant."""
    found = date_of(text)
    return text.strip() if found is None else found.isoformat()


def plain_key(key: str) -> str | Decimal:
    """As `plain_text`; a number is its value, because pandas makes 7 to 7.0 beside a gap."""
    text = plain_text(key)
    return Decimal(text) if PLAIN.fullmatch(text) else text


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
