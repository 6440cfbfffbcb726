"""Procedural questions: programs drawn by a seed, solved on two routes, worded plainly."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from datagen.episode import Question, stable_id
from datagen.judge.compare import judge
from datagen.questions.asked import Asked
from datagen.questions.difficulty import difficulty
from datagen.questions.procedural.checks import check, decimals_of
from datagen.questions.procedural.draw import draw
from datagen.questions.procedural.program import Program, to_json
from datagen.questions.procedural.state import Answer, Refused
from datagen.questions.procedural.table import load
from datagen.questions.procedural.wording import question_text
from datagen.tables.table import TableProfile

if TYPE_CHECKING:
    from datagen.sandbox import Sandbox

MOST_ROWS = 200_000  # the plain route walks through every row in Python
DRY = 500  # programs in a row without a new question, after which a table has no more to give
AT_ONCE = 4
BATCH = 32
SUBMITTED = {
    "integer": "int(answer)",
    "text": "str(answer)",
    "date": "str(answer)",
    "boolean": "bool(answer)",
    "list": "list(answer)",
}


@dataclass(kw_only=True)
class Tally:
    """What became of the programs drawn; `disagreements` show where the two routes differ."""

    drawn: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def ask(
    profiles: Sequence[TableProfile], *, count: int, seed: int, tally: Tally | None = None
) -> Asked:
    """Up to `count` different questions about these tables, the first of which is `df`.

    With several tables every program joins another one to the first. A table of more than MOST_ROWS
    rows gets no question. The same seed and tables give the same questions. Raises what opening a
    Sandbox raises.
    """
    from datagen.sandbox import Sandbox

    tally = tally or Tally()
    if any(profile.rows > MOST_ROWS for profile in profiles):
        tally.dropped[f"a table of more than {MOST_ROWS} rows"] += count
        return Asked(questions=[], dropped=tally.dropped)
    candidates = _candidates(profiles, seed=seed, tally=tally)
    questions: list[Question] = []
    with (
        Sandbox({p.name: (p.path, p.reading) for p in profiles}) as sandbox,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        while len(questions) < count:
            batch = list(islice(candidates, min(BATCH, count - len(questions))))
            if not batch:
                break
            answers = pool.map(lambda question: _submitted(sandbox, question), batch)
            for question, (answer, error) in zip(batch, answers, strict=True):
                if _agree(question, answer, error, tally):
                    questions.append(question)
                    tally.shapes[question.family] += 1
    return Asked(questions=questions, dropped=tally.dropped)


def _candidates(profiles: Sequence[TableProfile], *, seed: int, tally: Tally) -> Iterator[Question]:
    """Questions solved on the plain route, each text once."""
    table = load(profiles)
    rng = random.Random("-".join(["procedural", str(seed), *(p.sha256 for p in profiles)]))
    used: Counter[str] = Counter()
    texts: set[str] = set()
    dry = 0
    while dry < DRY:
        tally.drawn += 1
        dry += 1
        try:
            program, answer = draw(table, rng, used)
            check(program, table, answer)
        except Refused as reason:
            tally.dropped[str(reason)] += 1
            continue
        question = as_question(program, answer, profiles)
        if question.text in texts:
            tally.dropped["asked before"] += 1
            continue
        texts.add(question.text)
        dry = 0
        used.update(step.op for step in program.steps)
        yield question


def as_question(program: Program, answer: Answer, profiles: Sequence[TableProfile]) -> Question:
    """The question of a program whose plain answer is known."""
    decimals = decimals_of(answer)
    text = question_text(program, answer, decimals)
    form = f"round(float(answer), {decimals})" if decimals is not None else SUBMITTED[answer.type]
    code = "\n".join([*program.code(), f"submit({form})"])
    return Question(
        id=stable_id(*(profile.sha256 for profile in profiles), text),
        text=text,
        answer_type=answer.type,
        decimals=decimals,
        source="procedural",
        family=program.shape,
        params=to_json(program),
        difficulty=difficulty(code, tables=len(profiles)),
        code=code,
        truth=answer.value if decimals is None else round(float(answer.value), decimals),
    )


def _submitted(sandbox: Sandbox, question: Question) -> tuple[Any, str | None]:
    """What the pandas code submits in a fork of its own, or the error it ends with."""
    with sandbox.episode() as session:
        result = session.run(question.code or "")
    return result.answer, None if result.submitted else result.stderr.strip()[-300:]


def _agree(question: Question, answer: Any, error: str | None, tally: Tally) -> bool:
    if error is None:
        judged = judge(answer, question.truth, *question.form)
        if judged.correct:
            return True
    tally.dropped["the two routes disagree"] += 1
    tally.disagreements.append(
        f"{question.text}\n{question.code}\n  plain {question.truth!r}, pandas {error or answer!r}"
    )
    return False
