"""Numbers as people write them: group marks, decimal comma, currency, percent, (1,234) for -1234."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

SPACES = " \u00a0\u202f\u2009"
GROUPS = SPACES + "'\u2019.,"
MOST_DIGITS = 300  # more make no float; Python refuses to read an int of thousands of them
MINUS = "\u2212"
# Written out: any three capitals would make amounts of flight numbers.
_CODES = (
    "USD EUR GBP JPY CHF CAD AUD NZD CNY INR BRL SEK NOK DKK PLN CZK HUF MXN ZAR KRW TRY RUB SGD "
    "HKD ILS THB ISK RON US$ R$ A$ C$ kr kr. zł Kč Ft lei Fr Fr. Rs Rs. Mio"
).split()[:-1]
_UNIT = "|".join([*sorted(map(re.escape, _CODES), key=len, reverse=True), r"[$€£¥₹₽₩₺₪₫₴฿¢₦₱₲₡]"])


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one column's numbers are written: its decimal mark and the group marks it may have."""

    decimal: str
    thousands: str


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """Numbers in the order of their texts, None where a text is not a number; the unit beside them."""

    numbers: list[int | float | None]
    units: set[str]
    bare: bool
    groups: str

    @property
    def unit(self) -> str | None:
        return next(iter(self.units), None)


@cache
def _pattern(style: Style) -> re.Pattern[str]:
    decimal = re.escape(style.decimal)
    whole = r"\d+"
    if style.thousands:
        whole = rf"[1-9]\d{{0,2}}(?P<g>[{re.escape(style.thousands)}])\d{{3}}(?:(?P=g)\d{{3}})*|\d+"
    number = rf"(?P<n>(?:{whole})(?:{decimal}\d*)?|{decimal}\d+)(?P<e>[eE][+-]?\d{{1,3}})?"
    space = rf"[{SPACES}]*"
    return re.compile(
        rf"{space}(?P<open>\()?{space}(?P<s1>[+\-{MINUS}])?{space}(?P<u1>{_UNIT})?{space}"
        rf"(?P<s2>[+\-{MINUS}])?{space}{number}{space}(?P<u2>{_UNIT}|%)?(?P<s3>-)?{space}"
        rf"(?P<close>\))?{space}",
        re.ASCII,
    )


def parse_numbers(texts: Iterable[str], style: Style) -> Parsed:
    """Read each text as a number written in `style`.

    Whole numbers without a decimal mark become int. A number has at most one sign and one unit.
    """
    match, drop = _pattern(style).fullmatch, str.maketrans("", "", style.thousands)
    values: list[int | float | None] = []
    units: set[str] = set()
    bare = False
    groups: set[str] = set()
    for text in texts:
        found = match(text)
        if found is None:
            values.append(None)
            continue
        number, power, before, after = found.group("n", "e", "u1", "u2")
        signs = found.group("s1", "s2", "s3", "open", "close")
        if (any(signs) and _signs_conflict(signs)) or (before and after):
            values.append(None)
            continue
        if style.thousands:
            groups.add(found["g"] or "")
        number = number.translate(drop).replace(style.decimal, ".")
        if len(number) > MOST_DIGITS:
            values.append(None)
            continue
        value = float(number + (power or "")) if "." in number or power else int(number)
        if value == float("inf"):  # 1e400
            values.append(None)
            continue
        values.append(-value if any(signs) and not {*signs} <= {None, "+"} else value)
        unit = before or after
        bare |= unit is None and value != 0
        if unit:
            units.add(unit)
    return Parsed(numbers=values, units=units, bare=bare, groups="".join(sorted(groups)))


def _signs_conflict(signs: Sequence[str | None]) -> bool:
    """Whether more than one sign is there, or half a pair of brackets."""
    *single, opened, closed = signs
    return sum(map(bool, [*single, opened])) > 1 or bool(opened) != bool(closed)


def is_infinite(text: str) -> bool:
    """Whether the text is a number that no float holds: inf, -Infinity, 1e400."""
    try:
        return math.isinf(float(text.replace(MINUS, "-").replace(",", ".")))
    except ValueError:
        return False


def other_mark(decimal: str) -> str:
    return "," if decimal == "." else "."


def style_of(decimal: str, thousands: str | None) -> Style:
    """The style with these group marks; None allows every one that is not the decimal mark."""
    allowed = GROUPS if thousands is None else thousands
    return Style(decimal=decimal, thousands=allowed.replace(decimal, ""))


def only_decimal_mark(texts: Sequence[str]) -> str | None:
    """Return the decimal mark of a column if only one is possible."""
    able = [
        mark
        for mark in ".,"
        if texts and None not in parse_numbers(texts, style_of(mark, None)).numbers
    ]
    marked = any(mark in text for text in texts for mark in ".,")
    return able[0] if marked and len(able) == 1 else None
