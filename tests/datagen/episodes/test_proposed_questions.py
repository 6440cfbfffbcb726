import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episodes.attempts import Task
from datagen.episodes.proposed_questions import parse, propose, words_alone
from datagen.models.protocol import Reply
from datagen.prompts.render import as_reply
from datagen.sandbox import Sandbox

GOOD = {
    "question": "What is the mean amount? (2 decimals)",
    "answer_type": "number",
    "decimals": 2,
    "units": "EUR",
    "difficulty": "easy",
    "hint": "Take the mean of amount.",
}


def block(value: object) -> str:
    return f"Here they are.\n```json\n{json.dumps(value)}\n```\n"


def one(reply: str):
    (question,), faults = parse(reply, ["sha"], set())
    assert not faults
    return question


def test_a_proposal_becomes_a_question_without_known_truth():
    question = one(block([GOOD]))
    assert (question.text, question.hint) == (GOOD["question"], GOOD["hint"])
    assert (question.answer_type, question.decimals, question.units) == ("number", 2, "EUR")
    assert (question.source, question.known, question.truth) == ("proposed", False, None)
    assert question.difficulty == "easy"


@pytest.mark.parametrize(
    "reply",
    [
        block({"questions": [GOOD]}),
        block(GOOD),
        "```json\n" + json.dumps([GOOD])[:-1] + ",]\n```",
        "```json\n" + json.dumps([GOOD]) + "\n",
        "Sure: " + json.dumps([GOOD]) + " as asked",
        block([{**GOOD, "decimals": "2", "difficulty": "Easy", "answer_type": "Number"}]),
        "```json\n[]\n```\n" + block([GOOD]),
        block([{**GOOD, "question": "What is the  mean amount?\n(2 decimals)"}]),
    ],
)
def test_the_form_may_be_a_little_off(reply):
    assert one(reply) == one(block([GOOD]))


@pytest.mark.parametrize(
    ("proposal", "fault"),
    [
        ("text", "not an object"),
        ({**GOOD, "question": " "}, "no question"),
        ({**GOOD, "question": 3}, "no question"),
        ({k: v for k, v in GOOD.items() if k != "hint"}, "no hint"),
        ({**GOOD, "answer_type": "plot"}, "no known answer type"),
        ({**GOOD, "decimals": None}, "no precision stated"),
        ({**GOOD, "decimals": 2.5}, "no precision stated"),
        ({**GOOD, "decimals": True}, "no precision stated"),
        ({**GOOD, "decimals": "two"}, "no precision stated"),
        ({**GOOD, "question": "x" * 1001}, "a question of more than 1000 characters"),
    ],
)
def test_each_fault_is_counted_and_the_others_are_kept(proposal, fault):
    other = {**GOOD, "question": "How many rows?", "answer_type": "integer", "decimals": None}
    questions, faults = parse(block([proposal, other]), ["sha"], set())
    assert [q.text for q in questions] == ["How many rows?"]
    assert faults == Counter({fault: 1})


def test_the_same_words_are_one_question():
    again = {**GOOD, "question": "what is the MEAN amount (2 decimals)"}
    questions, faults = parse(block([GOOD, again]), ["sha"], set())
    assert len(questions) == 1
    assert faults == Counter({"repeated question": 1})
    assert parse(block([GOOD]), ["sha"], {words_alone(str(GOOD["question"]))})[0] == []


def test_no_list_is_a_fault_too():
    assert parse("I give up.", ["sha"], set()) == ([], Counter({"no JSON list in the reply": 1}))


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(block))
def test_any_reply_is_read_without_an_error(reply):
    questions, faults = parse(reply, ["sha"], set())
    assert questions == [] or faults is not None


def test_the_model_looks_at_the_data_before_it_asks(tasks: list[Task]):
    heard: list[list[str]] = []

    class Curious:
        name = "curious"

        async def reply(self, messages, *, session):
            heard.append([m.content for m in messages])
            if len(messages) == 2:
                return Reply(text=as_reply("print(len(df))"))
            first = len(heard) // 2
            asked = [{**GOOD, "question": f"Question {first} {n}?"} for n in range(11)]
            return Reply(text=block(asked))

    with Sandbox({"shop": tasks[0].paths[0]}) as sandbox:
        found = asyncio.run(propose(Curious(), tasks[0].tables, sandbox, count=12))
    assert len(found.questions) == 12
    assert len({q.id for q in found.questions}) == 12
    assert heard[1][3].startswith("8\n")
    assert 'Table "shop": 8 rows' in heard[0][0]
    assert "Propose 10 questions." in heard[0][1]
    assert "Propose 2 questions. Others than these:\n- Question 1 0?" in heard[2][1]
