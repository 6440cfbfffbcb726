"""Answers as values: their types and kinds, and what a text stands for."""

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
