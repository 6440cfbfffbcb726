import pytest

from launcher.report.failures import REASONS, nearly, reason


def episode(*turns, truth=10):
    return {"question": {"truth": truth}, "traces": [{"turns": list(turns)}]}


def turn(reply="", **facts):
    return {"reply": reply, "code": None, "submitted": False, "error": False, **facts}


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (episode(), "no reply"),
        (episode(turn("The answer is 10.")), "prose"),
        (episode(turn("```sql\nSELECT 10\n```", error=True)), "wrong code"),
        (episode(turn(code="1/0", error=True)), "error"),
        (episode(turn(code="1/0", error=True), turn("I give up.")), "no submit"),
        (episode(turn(code="print(10)")), "no submit"),
        (episode(turn(code="submit(11)", submitted=True, answer=11)), "wrong value"),
        (episode(turn(code="submit(10.5)", submitted=True, answer=10.5)), "near miss"),
    ],
)
def test_the_reason_is_what_the_model_did_last(found, name):
    assert reason(found) == name
    assert name in REASONS


@pytest.mark.parametrize(
    ("answer", "truth", "near"),
    [
        (105, 100, True),
        (106, 100, False),
        (-100, 100, False),
        (0.1, 0, False),
        (True, 1, False),
        ("10", 10, False),
        ("New York.", "new-york", True),
        ("", "!", False),
        (["b", "a"], ["a", "b"], True),
        (["a", "b"], ["a", "b", "c"], True),
        (["a"], ["a", "b", "c"], False),
        (["a"], ["b"], False),
        ({"x": 1, "y": 2}, {"x": 1, "y": 3}, True),
        ({"x": 1}, ["x"], False),
        (None, None, False),
    ],
)
def test_nearly_right(answer, truth, near):
    assert nearly(answer, truth) is near
