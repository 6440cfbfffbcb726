"""Template questions: families filled from the tables' profiles, each answer found on two routes.

The truth is SQL over the typed tables; the solution is pandas and runs in the sandbox, as the
scripted teacher will submit it. A question is asked only where both agree, where no other reading of
its text gives another answer, and where the answer says something.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from datagen.episode import Question, stable_id
from datagen.judge.compare import judge
from datagen.questions.asked import Asked
from datagen.questions.cells import Cells
from datagen.questions.database import Database
from datagen.questions.family import Truth, Unasked
from datagen.questions.form import Form, form_of, in_form, worth_asking
from datagen.questions.readings import readings
from datagen.questions.records import Family, bundled
from datagen.questions.slots.draw import Draw
from datagen.questions.solving import Solutions, agrees
from datagen.questions.truth import truth
from trainer.contract.command.errors import Fault

if TYPE_CHECKING:
    from pydantic import JsonValue

    from datagen.sandbox import CellResult
    from datagen.tables.table import TableProfile

MOST_ROWS = 500_000  # the plain route holds a table as Python values
TRIES = 6  # draws of slots for one question of a family before the next family has its turn
MOST = 4  # questions of one family about one set of tables, or more where many are asked of few
DRY = 2  # turns without a question after which a family is left alone


@dataclass(kw_only=True)
class Tally:
    """What became of each family's draws; `disagreements` show where the two routes differ."""

    made: Counter[str] = field(default_factory=Counter)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)

    def reasons(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for (_, reason), times in self.dropped.items():
            total[reason] += times
        return total


def ask(
    profiles: Sequence[TableProfile],
    *,
    count: int,
    seed: int,
    families: Sequence[Family] | None = None,
    tally: Tally | None = None,
    solutions: Solutions | None = None,
) -> Asked:
    """Up to `count` different questions about these tables, the first of which is `df`.

    About one table: the families of one table; about several: those that need as many. The families
    take turns in an order that the seed and the tables decide; the fewer they are, the more each asks.
    A table of more than MOST_ROWS rows gets no question. Raises what opening a Sandbox raises.
    """
    tally = tally or Tally()
    if any(profile.rows > MOST_ROWS for profile in profiles):
        tally.dropped["", f"a table of more than {MOST_ROWS} rows"] += count
        return Asked(questions=[], dropped=tally.reasons())
    chosen = [f for f in (bundled() if families is None else families) if f.tables == len(profiles)]
    key = "-".join([str(seed), *(p.sha256 for p in profiles)])
    random.Random(key).shuffle(chosen)
    if not chosen:
        return Asked(questions=[], dropped=tally.reasons())
    most = max(MOST, -(-count // len(chosen)), count // 8)
    cells = [Cells.of(profile) for profile in profiles]
    database = Database(cells)
    sources = [
        Source(
            family, Draw(profiles, cells, random.Random(f"{key}-{family.name}"), database), tally
        )
        for family in chosen
    ]
    questions = solved(profiles, sources, solutions, count=count, dry=DRY, most=most)
    return Asked(questions=questions, dropped=tally.reasons())


class QuestionSource(ABC):
    """Proposes questions about one set of tables; `name` stands for it in the tally."""

    def __init__(self, name: str, tally: Tally) -> None:
        self.name = name
        self.tally = tally
        self.dry = 0
        self.made = 0

    @abstractmethod
    def propose(self, asked: Collection[str]) -> Question | None:
        """The next question that is not among those `asked`, or None after some tries."""

    def drop(self, reason: Unasked | ArithmeticError) -> None:
        why = str(reason) if isinstance(reason, Unasked) else "not computable"
        self.tally.dropped[self.name, why] += 1

    def accepts(self, question: Question, result: CellResult) -> bool:
        """Whether the code submitted the truth."""
        agree = agrees(question, result)
        if agree:
            self.made += 1
            self.tally.made[self.name] += 1
        else:
            found = result.answer if result.submitted else result.stderr.strip()[-300:]
            self.dry += 1
            self.tally.dropped[self.name, "the two routes disagree"] += 1
            self.tally.disagreements.append(
                f"{question.family}: {question.text}\n{question.code}\n"
                f"  truth {question.truth!r}, code {found!r}"
            )
        return agree


def solved(
    profiles: Sequence[TableProfile],
    sources: Sequence[QuestionSource],
    solutions: Solutions | None,
    *,
    count: int,
    dry: int,
    most: int | None = None,
) -> list[Question]:
    """Up to `count` questions of these sources in turn, each with code that finds the truth in the sandbox.

    A source has no more turns after `dry` of them without a question, and after `most` questions.
    `solutions` are those of other sources over the same tables, which go on with them.
    """
    questions: dict[str, Question] = {}
    with nullcontext(solutions) if solutions else Solutions(profiles) as running:
        while sources and len(questions) < count:
            turn = sources[: count - len(questions)]
            futures = [
                (source, question, running.submit(question))
                for source in turn
                if source.dry < dry and (question := _proposed(source, questions, dry))
            ]
            for source, question, future in futures:
                if source.accepts(question, future.result()):
                    questions[question.text] = question
            sources = [s for s in sources if s.dry < dry and (most is None or s.made < most)]
    return [*questions.values()]


def _proposed(source: QuestionSource, asked: Collection[str], dry: int) -> Question | None:
    """The source's next question. One that fails has no more turns, and takes no other along."""
    try:
        return source.propose(asked)
    except Fault:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of one family, which its tally names
        source.tally.dropped[source.name, f"{type(error).__name__}: {error}"] += 1
        source.dry = dry
        return None


class Source(QuestionSource):
    """One family's questions about one set of tables."""

    def __init__(self, family: Family, draw: Draw, tally: Tally) -> None:
        super().__init__(family.name, tally)
        self.family = family
        self.draw = draw

    def propose(self, asked: Collection[str]) -> Question | None:
        for _ in range(TRIES):
            self.draw.bound.clear()
            if not self._bind():
                continue
            try:
                question = self._question()
            except (Unasked, ArithmeticError) as reason:
                self.drop(reason)
                continue
            if question.text not in asked:
                return question
        self.dry += 1
        return None

    def _bind(self) -> bool:
        """Fill the slots in their order; False when the tables have nothing that fits."""
        for name, slot in self.family.slots.items():
            bound = slot(self.draw)
            if bound is None:
                return False
            self.draw.bound[name] = bound
        return True

    def _question(self) -> Question:
        family, draw = self.family, self.draw
        found = truth(family, draw)
        form = form_of(family, draw, found)
        answer = in_form(found, form)
        worth_asking(answer, form)
        shown = {name: bound.text for name, bound in draw.bound.items()}
        sentences = [
            draw.rng.choice([*family.wordings]),
            *dict.fromkeys(self._clauses(answer, form)),
        ]
        text = " ".join(
            [*(s.format_map(shown) for s in sentences), form.sentence.format_map(shown)]
        ).rstrip()
        literals = {name: bound.literal for name, bound in draw.bound.items()}
        code = f"{family.code.strip().format_map(literals)}\nsubmit({form.submitted})"
        return Question(
            id=stable_id(*(p.sha256 for p in draw.profiles), text),
            text=text,
            answer_type=form.type,
            decimals=form.decimals,
            units=form.units,
            source="template",
            family=family.name,
            params=draw.values(),
            difficulty=family.difficulty,
            hint=family.plan.format_map(shown),
            code=code,
            truth=cast("JsonValue", answer),
        )

    def _clauses(self, answer: Truth, form: Form) -> Iterator[str]:
        """What has to be said so that no other reading gives another answer."""
        for name, clause, found in readings(self.family, self.draw):
            try:
                other = in_form(found, form)
            except Unasked:
                continue
            if judge(other, answer, form.type, form.decimals).correct:
                continue
            if clause is None:
                raise Unasked(f"another reading: {name}")
            yield clause
