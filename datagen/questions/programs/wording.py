"""A program in plain English: every step with its values, what is asked, and the answer's form."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from datagen.questions.programs.answer import Answer
from datagen.questions.programs.program import Filled, Program, to_json

AMONG = ("among the rows where", "for rows where", "where")
ROUNDING = ("Round to {} decimals.", "Answer with {} decimals.")
FORMS = {"boolean": "Answer True or False.", "date": "Answer as YYYY-MM-DD."}
# What a step's text says of the rows it is about: all of the table, or those that are left.
ALL: Mapping[str, str] = {
    "of": "rows",
    "the_rows": "the rows",
    "within": "",
    "them": "all rows",
}
LEFT: Mapping[str, str] = {
    "of": "of them",
    "the_rows": "those of them",
    "within": " in these rows",
    "them": "them",
}


def question_text(program: Program, found: Answer, decimals: int | None) -> str:
    """The question as a person would put it, in a few sentences; each program has one wording."""
    rng = random.Random(str(to_json(program)))
    said = [*_Wording(program, rng.choice(AMONG)).sentences(), *found.notes]
    form = FORMS.get(found.type, "") if decimals is None else rng.choice(ROUNDING).format(decimals)
    return " ".join([*dict.fromkeys(said), form]).strip()


def says(filled: Filled, words: Mapping[str, str]) -> str:
    """The text of a step, slots and words filled in."""
    shown = {name: bound.text for name, bound in filled.bound.items()}
    clause = {"clause": says(filled.inner, words)} if filled.inner else {}
    return filled.step.says.format_map({**words, **shown, **clause})


class _Wording:
    """Says the steps in order, but keeps the last choice of rows for the sentence that follows it."""

    def __init__(self, program: Program, lead: str) -> None:
        self._program = program
        self._lead = lead
        self._words = ALL
        self._conditions: list[Filled] = []
        self._selection = ""
        self._said: list[str] = []

    def sentences(self) -> list[str]:
        *before, end = self._program
        for filled in before:
            kind = filled.step.kind
            if kind == "conditions":
                self._take(only=bool(self._selection))
                self._conditions.append(filled)
            elif kind == "selections":
                self._take()
                self._selection = says(filled, self._words)
            elif kind == "joins":
                self._said.append(says(filled, self._words))
            elif filled.step.makes:
                self._take()
                self._said.append(f'Let "{filled.step.makes.name}" be {says(filled, self._words)}.')
        group = next((filled for filled in before if filled.step.kind == "groups"), None)
        if group is not None:
            self._groups(group, [f for f in before if f.step.kind == "series"], end)
        elif end.step.name == "count":
            self._count(end)
        else:
            self._say(says(end, LEFT if self._among() else ALL))
        return self._said

    def _count(self, end: Filled) -> None:
        if self._conditions:
            start = (
                "How many rows are there"
                if self._words is ALL
                else "For how many of them is it true"
            )
            link = "where" if self._words is ALL else "that"
            self._said.append(f"{start} {link} {self._clauses()}?")
        else:
            self._take()
            self._said.append(_capital(says(end, self._words)))

    def _groups(self, group: Filled, series: Sequence[Filled], end: Filled) -> None:
        measure, by = says(group, self._words), group.bound["c"].text
        if end.step.direct and not series and not group.inner:
            self._say(says(end, {"measure": measure}))
            return
        counts = group.step.short == "count"
        self._say(f"for each {by}, {'count the rows' if counts else f'compute the {measure}'}.")
        for opening, step in zip(("Then", "After that,"), series, strict=False):
            self._said.append(f"{opening} {says(step, {})}.")
        short = "resulting value" if series else group.step.short
        self._said.append(_capital(says(end, {"measure": short})))

    def _say(self, text: str) -> None:
        among = self._among()
        self._said.append(_capital(f"{among}, {text}" if among else text))

    def _among(self) -> str:
        """The rows that the next sentence is about."""
        if self._conditions:
            lead = self._lead if self._words is ALL else "among those of them where"
            return f"{lead} {self._clauses()}"
        if self._selection:
            return f"among {self._selection}"
        return "among these rows" if self._words is LEFT else ""

    def _take(self, *, only: bool = True) -> None:
        """Say the choice of rows, if there is one, in a sentence of its own."""
        if not only:
            return
        chosen = self._selection
        if self._conditions:
            chosen = f"{self._words['the_rows']} where {self._clauses()}"
        if chosen:
            self._said.append(f"{'Take' if self._words is ALL else 'Keep'} {chosen}.")
            self._words = LEFT
        self._conditions, self._selection = [], ""

    def _clauses(self) -> str:
        *rest, last = [says(condition, self._words) for condition in self._conditions]
        return f"{', '.join(rest)} and {last}" if rest else last


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
