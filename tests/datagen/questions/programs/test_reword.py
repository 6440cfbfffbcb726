import asyncio
from collections.abc import Mapping, Sequence

import pytest

from datagen.episode import Message, Question, stable_id
from datagen.models.protocol import NoReply, Reply
from datagen.questions.programs.answer import Answer
from datagen.questions.programs.program import from_json
from datagen.questions.programs.reword import reword
from datagen.questions.programs.source import as_question

STEPS = [
    {"step": "keep_equal", "c": "shop", "v": "Ulm"},
    {"step": "derive_ratio", "n": "price", "m": "units"},
    {"step": "keep_compared", "n": "ratio", "sign": "at least", "limit": 2.5},
    {"step": "statistic", "n": "ratio", "agg": "average"},
]


@pytest.fixture
def question(alone) -> Question:
    program = from_json(alone, {"steps": STEPS})
    return as_question(program, Answer(3.14159, "number"), [])


GOOD = (
    'For orders whose "shop" is "Ulm", work out "price" per one of "units", divided row by row. What is the '
    "mean of these where they are 2.5 or more, to 2 decimals?"
)


class Scripted:
    name = "scripted"

    def __init__(self, replies: Mapping[str, str | Exception]) -> None:
        self.replies = replies
        self.asked: list[Sequence[Message]] = []

    async def reply(self, messages: Sequence[Message], *, session: str) -> Reply:
        self.asked.append(messages)
        said = self.replies[messages[-1].content]
        if isinstance(said, Exception):
            raise said
        return Reply(text=said)


def reworded(said: str | Exception, question: Question):
    return asyncio.run(reword([question], Scripted({question.text: said})))


def test_a_faithful_rewording_is_taken_and_the_plain_one_kept_beside_it(question):
    result = reworded(f"  {GOOD}\n", question)
    (found,) = result.questions
    assert found.text == GOOD
    assert found.id == stable_id(question.id, GOOD) != question.id
    assert found.params == {**question.params, "plain": question.text}
    assert (found.truth, found.code, found.family) == (
        question.truth,
        question.code,
        question.family,
    )
    assert not result.kept


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (GOOD.replace('"Ulm"', "that town"), "a name or value was lost"),
        (GOOD.replace('"price"', '"Price"'), "a name or value was lost"),
        (GOOD.replace("2.5", "25"), "a number was lost"),
        (GOOD.replace("2 decimals", "two decimals"), "a number was lost"),
        (GOOD + " Use the 3 best.", "a number was made up"),
        (GOOD + ' Call it "mean".', "a name or value was made up"),
        (GOOD.replace("2.5 or more", "more than 2.5"), "a meaning was lost"),
        (GOOD.replace("mean", "middle"), "a meaning was lost"),
        ("", "no question came back"),
        (f"```{GOOD}```", "no question came back"),
        (GOOD * 3, "no question came back"),
        (NoReply("length", "cut at 20 tokens"), "no reply: length"),
    ],
)
def test_where_something_is_lost_the_plain_wording_stays(question, said, reason):
    result = reworded(said, question)
    assert result.questions == [question]
    assert result.kept == {reason: 1}


def test_the_order_stays_and_each_question_is_asked_once(alone, question):
    mean = {"step": "statistic", "n": "price", "agg": "average"}
    other = as_question(from_json(alone, {"steps": [mean]}), Answer(2.5, "number"), [])
    better = 'How high is the mean "price", to 2 decimals?'
    model = Scripted({question.text: "no", other.text: better})
    result = asyncio.run(reword([question, other], model))
    assert [q.text for q in result.questions] == [question.text, better]
    assert len(model.asked) == 2
    assert [m.role for m in model.asked[0]] == ["system", "user"]
