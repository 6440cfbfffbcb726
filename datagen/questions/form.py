"""The form of an answer: its type, stated precision and units, the sentence that states it, and rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from datagen.judge.answer_types import AnswerType
from datagen.questions.family import Truth, Unasked

if TYPE_CHECKING:
    from datagen.questions.records import Family
    from datagen.questions.slots.draw import Draw

MOST_DECIMALS = 6
SENTENCES = {
    "integer": "",
    "text": "",
    "date": "Answer with a date as YYYY-MM-DD.",
    "boolean": "Answer True or False.",
    "list": "Answer with a list.",
    "set": "Answer with a list, in any order.",
    "object": "Answer with an object.",
}
SUBMITTED = {
    "integer": "int(answer)",
    "text": "str(answer)",
    "date": "str(answer)",
    "boolean": "bool(answer)",
    "list": "list(answer)",
    "set": "list(answer)",
    "object": "{str(key): x for key, x in answer.items()}",
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """`sentence` ends the question (with slots), `submitted` is what the code gives to submit()."""

    type: AnswerType
    decimals: int | None
    units: str | None
    sentence: str
    submitted: str


def form_of(family: Family, draw: Draw, found: Truth) -> Form:
    """The form of this family's answer, where the truth is `found` (not yet rounded)."""
    kind = _type(family, draw)
    decimals = _decimals(family, found) if kind == "number" or _fractions(found) else None
    units = f" {family.units}" if family.units else ""
    if family.form:
        sentence = family.form
    elif kind == "number":
        sentence = (
            f"{'Answer in' + units + ', rounded' if units else 'Round'} to {decimals} decimals."
        )
    elif kind == "integer" and units:
        sentence = f"Answer in{units}."
    else:
        sentence = SENTENCES[kind]
    if kind == "list" and decimals is not None:
        sentence = f"{sentence} Round to {decimals} decimals."
        submitted = f"[round(float(x), {decimals}) for x in answer]"
    elif kind == "object" and decimals is not None:
        sentence = f"{sentence} Round to {decimals} decimals."
        submitted = f"{{key: round(float(x), {decimals}) for key, x in answer.items()}}"
    elif kind == "number":
        submitted = f"round(float(answer), {decimals})"
    else:
        submitted = SUBMITTED[kind]
    return Form(
        type=kind, decimals=decimals, units=family.units, sentence=sentence, submitted=submitted
    )


def in_form(found: Truth, form: Form) -> Truth:
    """The answer in the form that the question requires: rounded, whole numbers as int. Refuses a rounding border."""
    if isinstance(found, list):
        return [in_form(x, form) if isinstance(x, float) else x for x in found]
    if isinstance(found, dict):
        return {str(key): in_form(x, form) for key, x in found.items()}
    if isinstance(found, int | float) and not isinstance(found, bool):
        if form.type == "integer":
            return round(found)
        if form.decimals is not None:
            scaled = abs(found) * 10**form.decimals
            if abs(scaled % 1 - 0.5) < 1e-6:
                raise Unasked("rounding border")
            return round(float(found), form.decimals)
    return found


def worth_asking(truth: Truth, form: Form) -> None:
    """Refuse an answer that says nothing: nothing, zero, an empty list, a list of one value."""
    if truth is None or (truth in ("", 0) and form.type != "boolean"):
        raise Unasked("degenerate")
    if isinstance(truth, dict):
        truth = [*truth.values()]
    if isinstance(truth, list) and (not truth or len({str(x) for x in truth}) < min(2, len(truth))):
        raise Unasked("degenerate")


def _type(family: Family, draw: Draw) -> AnswerType:
    if family.whole and draw.column("n").kind == "integer":
        aggregate = draw.bound.get("agg")
        if aggregate is None or aggregate.value not in {"mean", "median"}:
            return "integer"
    if family.of is None:
        return cast("AnswerType", family.answer)
    kind = draw.column(family.of).kind
    return "integer" if kind == "integer" else "boolean" if kind == "boolean" else "text"


def _fractions(found: Truth) -> bool:
    values = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(isinstance(x, float) for x in values)


def _decimals(family: Family, found: Truth) -> int:
    """The family's decimals; more, if it is scaled, until three digits show."""
    decimals = family.decimals
    if family.scaled and isinstance(found, float) and found:
        while abs(found) * 10**decimals < 100 and decimals < MOST_DECIMALS:
            decimals += 1
    return decimals
