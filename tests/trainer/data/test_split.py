from trainer.contract.rows import Row
from trainer.data.split import stretches

SYSTEM = {"role": "system", "content": "be brief"}
ANSWER = {"role": "assistant", "content": "print(df)"}
CALL = ANSWER | {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}


def user(text):
    return {"role": "user", "content": text}


def starts(*messages, episode=False):
    """The first message of each stretch."""
    lead, rest = stretches(Row([SYSTEM, *messages], None, 1, episode=episode))
    assert lead == [SYSTEM]
    assert [m for stretch in rest for m in stretch] == [*messages]
    return [stretch[0]["content"] for stretch in rest]


def test_a_part_starts_where_a_person_speaks():
    assert starts(user("a?"), ANSWER, user("b?"), ANSWER, user("c?"), ANSWER) == ["a?", "b?", "c?"]


def test_output_of_code_starts_no_part():
    """In the words of agents: datagen's own, OpenHands', smolagents', a plain ReAct loop's."""
    for text in ("stdout:\n12", "[stderr]\nKeyError", "Observation: 12", "Traceback (most recent",
                 "<output>12</output>", "EXECUTION RESULT of [run]:", "Output:\n12"):  # fmt: skip
        assert starts(user("a?"), ANSWER, user(text), ANSWER) == ["a?"], text


def test_what_follows_a_call_or_another_question_starts_no_part():
    result = {"role": "tool", "content": "17"}
    assert starts(user("a?"), CALL, result, ANSWER, user("b?"), ANSWER) == ["a?", "b?"]
    assert starts(user("a?"), CALL, user("12"), ANSWER) == ["a?"]
    assert starts(user("a?"), user("and b?"), ANSWER) == ["a?"]


def test_an_exported_episode_is_one_question():
    assert starts(user("a?"), ANSWER, user("  price\n0  2"), ANSWER, episode=True) == ["a?"]
    assert starts(user("a?"), ANSWER, user("  price\n0  2"), ANSWER) == ["a?", "  price\n0  2"]
