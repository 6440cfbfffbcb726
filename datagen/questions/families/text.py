"""Text columns: parts, lengths, words, letters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from datagen.questions.arithmetic import mean, top
from datagen.questions.bound import Bound, cell
from datagen.questions.family import Family, Other, Slots, Truth
from datagen.questions.gather import known
from datagen.questions.slots import Draw, Slot, pick, safe, text

if TYPE_CHECKING:
    from datagen.questions.cells import Cells


def part_of(slot: str) -> Slot:
    """A word (of letters, three or more) of some value of the column in `slot`, in lower case."""

    def fill(draw: Draw) -> Bound | None:
        counts = Counter(
            word.lower()
            for value in {*draw.cells.text[str(draw.bound[slot].value)]} - {None}
            for word in str(value).replace("-", " ").replace("/", " ").split()
            if len(word) > 2 and word.isalpha() and word.isascii()
        )
        words = sorted(word for word, times in counts.items() if times > 1 and safe(word))
        return cell(draw.rng.choice(words)) if words else None

    return fill


def first_letter(slot: str) -> Slot:
    def fill(draw: Draw) -> Bound | None:
        letters = {str(v)[:1].upper() for v in draw.cells.text[str(draw.bound[slot].value)] if v}
        usable = sorted(x for x in letters if x.isalpha() and x.isascii())
        return cell(draw.rng.choice(usable)) if usable else None

    return fill


def _contains(t: Cells, s: Slots, *, exact: bool = False, whole: bool = False) -> Truth:
    total = 0
    for value in known(t.text[s["x"]]):
        found = value if exact else value.lower()
        total += s["w"] in (found.split() if whole else found)
    return total


def _starts(t: Cells, s: Slots, *, folded: bool = True) -> Truth:
    letter = s["a"]
    return sum((v[:1].upper() if folded else v[:1]) == letter for v in known(t.text[s["x"]]))


def _longest(t: Cells, s: Slots) -> Truth:
    return top({v: float(len(v)) for v in {*known(t.text[s["x"]])}})[0]


def _mean_length(t: Cells, s: Slots, *, distinct: bool = False) -> Truth:
    values = known(t.text[s["x"]])
    return mean([float(len(v)) for v in ({*values} if distinct else values)])


def _first_word(t: Cells, s: Slots, *, folded: bool = False) -> Truth:
    values = (v.split() for v in known(t.text[s["x"]]))
    words = Counter((w[0].lower() if folded else w[0]) for w in values if w)
    best = top({w: float(n) for w, n in words.items()})[0]
    if not folded:
        return best
    return next(
        v.split()[0]
        for v in known(t.text[s["x"]])
        if v.split()[:1] and v.split()[0].lower() == best
    )


def _many_words(t: Cells, s: Slots) -> Truth:
    return sum(len(v.split()) >= s["k"] for v in known(t.text[s["x"]]))


def _different_words(t: Cells, s: Slots, *, folded: bool = True) -> Truth:
    return len({(w.lower() if folded else w) for v in known(t.text[s["x"]]) for w in v.split()})


IGNORE_CASE = "Ignore upper and lower case."
KEEP_CASE = "Upper and lower case differ."
FAMILIES = (
    Family(
        name="text_contains",
        slots={"x": text(), "w": part_of("x")},
        wordings=(
            "In how many rows does {x} contain the text {w}?",
            "How many rows have {w} somewhere in {x}?",
        ),
        code="answer = df[{x}].str.contains({w}, case=False, regex=False).sum()",
        truth=_contains,
        plan="I look for {w} in {x}.",
        answer="integer",
        others=(
            Other("case matters", lambda t, s: _contains(t, s, exact=True), IGNORE_CASE),
            Other(
                "whole words only",
                lambda t, s: _contains(t, s, whole=True),
                "It may be part of a longer word.",
            ),
        ),
    ),
    Family(
        name="text_starts",
        slots={"x": text(), "a": first_letter("x")},
        wordings=("In how many rows does {x} start with the letter {a}?",),
        code="answer = df[{x}].str.upper().str.startswith({a}).sum()",
        truth=_starts,
        plan="I check the first letter of {x}.",
        answer="integer",
        others=(Other("case matters", lambda t, s: _starts(t, s, folded=False), IGNORE_CASE),),
    ),
    Family(
        name="longest_text",
        slots={"x": text()},
        wordings=(
            "Which value of {x} has the most characters?",
            "What is the longest {x}, counted in characters?",
        ),
        code="answer = df.loc[df[{x}].str.len().idxmax(), {x}]",
        truth=_longest,
        plan="I measure the length of each {x} and take the longest.",
        answer="text",
    ),
    Family(
        name="mean_text_length",
        slots={"x": text()},
        wordings=("What is the mean number of characters in {x}, over the rows that have one?",),
        code="answer = df[{x}].str.len().mean()",
        truth=_mean_length,
        plan="I average the lengths of {x}.",
        others=(
            Other(
                "different values only",
                lambda t, s: _mean_length(t, s, distinct=True),
                "Count a value as often as it occurs.",
            ),
        ),
    ),
    Family(
        name="common_first_word",
        slots={"x": text(8)},
        wordings=(
            "Which first word of {x} occurs in the most rows? Words are separated by spaces.",
            "Split {x} at spaces: which word most often comes first?",
        ),
        code=("first = df[{x}].str.split().str[0]\nanswer = first.value_counts().idxmax()"),
        truth=_first_word,
        plan="I split {x} at spaces and count the first words.",
        answer="text",
        form="Answer with the word.",
        others=(Other("case ignored", lambda t, s: _first_word(t, s, folded=True), KEEP_CASE),),
    ),
    Family(
        name="many_words",
        slots={"x": text(), "k": pick(2, 3, 4)},
        wordings=("In how many rows does {x} have at least {k} words, separated by spaces?",),
        code="answer = (df[{x}].str.split().str.len() >= {k}).sum()",
        truth=_many_words,
        plan="I count the words of each {x}.",
        answer="integer",
    ),
    Family(
        name="different_words",
        slots={"x": text(8)},
        wordings=("How many different words, separated by spaces, occur in {x}?",),
        code=(
            "words = df[{x}].dropna().str.lower().str.split().explode()\nanswer = words.nunique()"
        ),
        truth=_different_words,
        plan="I split all values of {x} into words and count the different ones.",
        answer="integer",
        others=(
            Other("case matters", lambda t, s: _different_words(t, s, folded=False), IGNORE_CASE),
        ),
    ),
)
