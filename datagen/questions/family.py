"""What a template family declares: slots, wordings, a pandas solution, the truth, and the other readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datagen.judge.answer_types import AnswerType

if TYPE_CHECKING:
    from datagen.questions.cells import Cells
    from datagen.questions.slots import Slot

Slots = Mapping[str, Any]
Truth = object
Computation = Callable[["Cells", Slots], Truth]
LOOK = "# look\n"  # in a solution: what comes before it is a first turn of its own


class Unasked(Exception):  # noqa: N818 - not an error: a reason not to ask
    """A question that has no single or no interesting answer; the text is the reason."""


@dataclass(frozen=True)
class Other:
    """Another defensible reading of a question.

    Where its answer differs, `clause` (slots as in a wording) goes into the question and rules it out;
    without a clause the question is dropped.
    """

    name: str
    truth: Computation
    clause: str | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of question.

    `code` computes `answer`; in it `{slot}` stands for a Python literal, in wordings and `plan` for text.
    `answer` "value" takes the type of the column in slot `of`. A number that would show fewer than
    three digits at `decimals` gets more of them if `scaled`; it is an integer where
    column n is, if `whole` and no mean or median is taken. `form` replaces the standard sentence on
    the answer's form; `units` stand behind the number.
    """

    name: str
    slots: Mapping[str, Slot]
    wordings: Sequence[str]
    code: str
    truth: Computation
    plan: str
    answer: AnswerType | str = "number"
    of: str | None = None
    decimals: int = 2
    scaled: bool = False
    units: str | None = None
    form: str | None = None
    others: Sequence[Other] = ()
    whole: bool = False
    tables: int = 1
