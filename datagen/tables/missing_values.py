"""What stands for a missing value: pandas' own list, and stand-ins found in a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datagen.episode import Reading

if TYPE_CHECKING:
    import pandas as pd

# pandas' default `na_values`; a test compares. Reading.kept takes away from them.
DEFAULT = frozenset(
    (
        ",#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,"
        "n/a,nan,null"
    ).split(",")
)
# Compared without case. Signs are never a category; words are missing only among numbers and dates.
SIGNS = frozenset(
    ["?", "??", "???", "-", "--", "---", "–", "—", ".", "..", "...", "…", "*", "n.a."]
)
WORDS = frozenset(
    (
        "n/a,na,n.a,n.d.,nd,k.a.,k. a.,unknown,unk,missing,none,null,nil,nan,not available,blank,"
        "not applicable,not known,no data,empty,undefined,tbd,tba,#value!,#div/0!,#null!,#ref!,#name?,"
        "0000-00-00,00.00.0000,00/00/0000,0000-00-00 00:00:00"
    ).split(",")
)
_SPELLED = [
    spelled
    for text in SIGNS | WORDS
    for spelled in {text, text.upper(), text.title(), text.capitalize()}
]
PROBED = 1000
LARGE = 10
STAND_INS = (-99, -999, -9999, -99999, -999999)
SUSPECTS = (99, 999, 9999, 99999, 999999)
# Countries, names and other words that pandas takes for missing.
DOUBTED = frozenset(text for text in DEFAULT if text.isalpha())


def missing_texts(reading: Reading, column: str) -> frozenset[str]:
    """The texts that mean a missing value in a column.

    One that is a number means its value: where "-999" is missing, so is -999.0.
    """
    texts = DEFAULT - frozenset(reading.kept)
    return texts.union(reading.missing, reading.sentinels.get(column, ()))


def stands_for_missing(text: str) -> bool:
    """Whether a text among numbers or dates marks a missing value."""
    return text.strip().casefold() in SIGNS | WORDS


def missing_among_words(column: pd.Series[Any]) -> tuple[list[str], list[str]]:
    """The signs in a column of words, and the words in it that may mean missing as well.

    No signs where there is nothing but signs (+ and -), no words where there is nothing else.
    """
    texts = column[column.isin(_SPELLED)].unique().tolist()
    signs = [text for text in texts if text.casefold() in SIGNS]
    rest = column[~column.isin([*texts])]
    if not rest.head(PROBED).str.contains(r"[^\W\d_]").any():
        signs = []
    words = set(texts) - set(signs) - SIGNS
    if set(rest.head(PROBED).str.len()) == {2}:  # ND among the states of the USA
        words = {word for word in words if len(word) != 2}
    return sorted(signs), sorted(words) if len(rest) else []


def number_stand_ins(column: pd.Series[Any]) -> list[int]:
    """Numbers such as -999 that stand for missing: twice or more, lone below all other values.

    Lone: farther from the next value than the other values are from each other, and none of them
    is negative, or it is the lowest by more than ten times.
    """
    values = _finite(column)
    found: list[int] = []
    while len(values) and int((values == values.min()).sum()) > 1 and _is_lone(values):
        found.append(int(values.min()))
        values = values[values != values.min()]
    return found


def suspected_stand_in(column: pd.Series[Any]) -> int | None:
    """A number that may stand for missing: -1 as the only negative one, -999 once, 9999 twice."""
    values = _finite(column)
    if not len(values):
        return None
    lowest, highest = values.min(), values.max()
    if _is_lone(values):
        return int(lowest)
    rest = values[values != lowest]
    if lowest == -1 and int((values == -1).sum()) > 1 and len(rest) and highest > LARGE:
        whole = bool((rest % 1 == 0).all())
        return -1 if whole and rest.min() >= 0 else None
    if highest not in SUSPECTS or int((values == highest).sum()) < 2:
        return None
    rest = values[values != highest].abs()
    return int(highest) if len(rest) and rest.max() * 5 < highest else None


def _is_lone(values: pd.Series[Any]) -> bool:
    """Whether the lowest value is a stand-in by its distance from the others."""
    lowest = values.min()
    rest = values[values != lowest]
    if lowest not in STAND_INS or not len(rest):
        return False
    apart = rest.min() - lowest > rest.max() - rest.min()
    small = rest.min() >= 0 or rest.abs().max() * 10 < -lowest
    return bool(small and (apart or rest.min() >= 0))


def _finite(column: pd.Series[Any]) -> pd.Series[Any]:
    values = column.dropna()
    return values[abs(values) != float("inf")]
