"""The key of an answer changes with all that changes the answer, and with nothing else."""

import json
from decimal import Decimal

import pytest

from datagen.episode import Message
from datagen.models.paid_api import request
from datagen.models.paid_api.settings import TeacherSettings

MESSAGES = [Message(role="system", content="s"), Message(role="user", content="ü?")]
NEXT = [*MESSAGES, Message(role="assistant", content="a"), Message(role="user", content="b")]


def key(model="m", messages=MESSAGES, session="e/1", **settings):
    found = TeacherSettings(**settings)
    body = request.body(found, model, messages, session)
    return request.key(found.base_url, session, body)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "n"},
        {"messages": MESSAGES[1:]},
        {"messages": [MESSAGES[1], MESSAGES[0]]},
        {"session": "e/2"},
        {"session": "x" * 200},
        {"base_url": "http://localhost:8000/v1"},
        {"openrouter": False},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 10},
        {"reasoning_effort": "low"},
        {"providers": "a"},
        {"quantizations": "fp8"},
        {"enforce_distillable": False},
    ],
)
def test_what_changes_an_answer(changes):
    assert key(**changes)[0] != key()[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"max_cost": Decimal(7)},
        {"price": "1/2"},
        {"concurrency": 3},
        {"timeout": 5},
        {"teacher_licence": "MIT"},
        {"key_name": "X"},
        {"base_url": "https://openrouter.ai/api/v1/"},
    ],
)
def test_what_does_not(changes):
    assert key(**changes) == key()


def test_turns_and_sessions():
    assert key(openrouter=False)[0] != key(openrouter=False, session="e/2")[0]
    assert key()[1] == 0
    assert key(messages=NEXT)[1] == 1
    first, second = (
        request.body(TeacherSettings(), "m", MESSAGES, session)["session_id"]
        for session in ("x" * 129, "x" * 130)
    )
    assert first != second
    assert len(first) <= 128


def test_effort_as_others_take_it():
    local = TeacherSettings(base_url="http://localhost:8000/v1", reasoning_effort="high")
    body = request.body(local, "m", MESSAGES, "s")
    assert body["reasoning_effort"] == "high"
    assert set(body).isdisjoint({"reasoning", "provider", "session_id"})
    json.dumps(body)
