"""Questions made of programs: drawn by a seed, solved on two routes, worded plainly."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from datagen.episode import Difficulty, Question, stable_id
from datagen.questions.asked import Asked
from datagen.questions.family import Unasked
from datagen.questions.form import SUBMITTED
from datagen.questions.programs.answer import Answer
from datagen.questions.programs.checks import decimals_of, solve
from datagen.questions.programs.draw import draw
from datagen.questions.programs.frame import start
from datagen.questions.programs.program import Program, code, shape, to_json
from datagen.questions.programs.wording import question_text
from datagen.questions.template import MOST_ROWS, QuestionSource, Tally, solved

if TYPE_CHECKING:
    from datagen.questions.solving import Solutions
    from datagen.tables.table import TableProfile

DRY = 500  # programs in a row without a new question, after which a table has no more to give
HARDER: tuple[Difficulty, ...] = ("easy", "medium", "hard", "very hard")  # from two steps on
TURN = 32  # programs of one turn, and wrong ones after which a table is left alone


def ask(
    tables: Sequence[TableProfile],
    *,
    count: int,
    seed: int,
    tally: Tally | None = None,
    solutions: Solutions | None = None,
) -> Asked:
    """Up to `count` different questions about these tables, the first of which is `df`.

    With two tables every program joins the second to the first. The same seed and tables give the
    same questions. Raises what opening a Sandbox raises.
    """
    tally = tally or Tally()
    if any(table.rows > MOST_ROWS for table in tables):
        tally.dropped["", f"a table of more than {MOST_ROWS} rows"] += count
        return Asked(questions=[], dropped=tally.reasons())
    source = ProgramSource(tables, seed=seed, tally=tally)
    questions = solved(tables, [source] * TURN, solutions, count=count, dry=TURN)
    return Asked(questions=questions, dropped=tally.reasons())


class ProgramSource(QuestionSource):
    """Programs over one set of tables, each text once."""

    def __init__(self, tables: Sequence[TableProfile], *, seed: int, tally: Tally) -> None:
        super().__init__("", tally)
        self._tables = tables
        self._table = start(tables)
        key = "-".join(["procedural", str(seed), *(table.sha256 for table in tables)])
        self._rng = random.Random(key)
        self._used: Counter[str] = Counter()
        self._texts: set[str] = set()

    def propose(self, asked: Collection[str]) -> Question | None:
        """The next question, or None after DRY programs."""
        for _ in range(DRY):
            try:
                program = draw(self._table, self._rng, self._used)
                found = solve(program, self._table)
            except (Unasked, ArithmeticError) as reason:
                self.drop(reason)
                continue
            question = as_question(program, found, self._tables)
            if question.text not in self._texts and question.text not in asked:
                self._texts.add(question.text)
                self._used.update(filled.step.name for filled in program)
                return question
            self.drop(Unasked("asked before"))
        self.dry += TURN
        return None


def as_question(program: Program, found: Answer, tables: Sequence[TableProfile]) -> Question:
    """The question of a program whose answer is known."""
    decimals = decimals_of(found)
    text = question_text(program, found, decimals)
    form = f"round(float(answer), {decimals})" if decimals is not None else SUBMITTED[found.type]
    solution = "\n".join([*code(program), f"submit({form})"])
    truth: Any = found.value if decimals is None else round(float(found.value), decimals)
    return Question(
        id=stable_id(*(table.sha256 for table in tables), text),
        text=text,
        answer_type=found.type,
        decimals=decimals,
        source="procedural",
        family=shape(program),
        params=to_json(program),
        difficulty=_difficulty(program),
        code=solution,
        truth=truth,
    )


def _difficulty(program: Program) -> Difficulty:
    """By the steps that the question states; a condition on the rows that a step counts is one of them."""
    stated = len(program) + sum(filled.inner is not None for filled in program)
    return HARDER[min(stated - 2, len(HARDER) - 1)]
