"""One question of a family, taken apart: its record, the wording, both routes' code and what they give."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from datagen.questions.cells import Cells
from datagen.questions.database import Database
from datagen.questions.form import form_of, in_form
from datagen.questions.readings import readings
from datagen.questions.slots.draw import Draw
from datagen.questions.solving import run_code
from datagen.questions.template import Source, Tally
from datagen.questions.truth import expanded, truth

if TYPE_CHECKING:
    from datagen.questions.records import Family
    from datagen.tables.table import TableProfile

DRAWS = 20
ROWS = 5


def explain(family: Family, profiles: Sequence[TableProfile], *, seed: int) -> Iterator[str]:
    """Lines about one question that the family asks about these tables, or about why it asks none."""
    from datagen.sandbox import Sandbox

    cells = [Cells.of(profile) for profile in profiles]
    draw = Draw(profiles, cells, random.Random(f"{seed}-{family.name}"), Database(cells))
    source = Source(family, draw, tally := Tally())
    question = next((found for _ in range(DRAWS) if (found := source.propose({}))), None)
    if question is None:
        yield f"{family.name} asks nothing about {', '.join(p.name for p in profiles)}"
        reasons = [f"{n} draws: {why}" for why, n in tally.reasons().items()]
        yield from reasons or ["no column fits its slots"]
        return
    yield f"question  {question.text}"
    for name, bound in draw.bound.items():
        yield f"slot      {name} = {bound.text}" + (
            f", in SQL {bound.sql}" if bound.sql != bound.text else ""
        )
    sql, _ = expanded(family.sql.format_map({name: b.sql for name, b in draw.bound.items()}))
    yield from _shown("SQL", sql.strip())
    rows = draw.database.rows(sql)
    yield from _shown("rows", "\n".join(map(str, rows[:ROWS])) + ("\n..." if rows[ROWS:] else ""))
    yield f"{family.take:9} {question.truth!r}"
    yield from _shown("pandas", question.code or "")
    with Sandbox({p.name: (p.path, p.reading) for p in profiles}) as sandbox:
        result = run_code(sandbox, question)
    yield from _shown("submits", repr(result.answer) if result.submitted else result.stderr.strip())
    yield f"agree     {'yes' if source.accepts(question, result) else 'NO: the question is not asked'}"
    form = form_of(family, draw, truth(family, draw))
    for name, clause, other in readings(family, draw):
        said = clause and clause.format_map({name: b.text for name, b in draw.bound.items()})
        what = f"the question says: {said}" if said and said in question.text else "the same answer"
        yield f"reading   {name}: {in_form(other, form)!r}, {what}"


def _shown(title: str, text: str) -> Iterator[str]:
    for at, line in enumerate(text.splitlines() or [""]):
        yield f"{title if not at else '':9} {line}"
