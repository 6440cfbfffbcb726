import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.generate import Task
from datagen.prompts.render import NO_ANSWER, NO_BLOCK, as_reply, code_of, feedback, opening
from datagen.sandbox import CellResult


def test_opening_shows_table_columns_and_question(tasks: list[Task]):
    system, user = opening(tasks[0].question, tasks[0].tables)
    assert (system.role, user.role) == ("system", "user")
    assert "submit(answer)" in system.content
    assert user.content == (
        "shop\ncity text\namount number\nunits integer\nday date\n" + tasks[0].question.text
    )


@given(st.text(alphabet=st.characters(blacklist_characters="`\r", blacklist_categories=["Cs"])))
def test_code_comes_back_out_of_the_reply_that_holds_it(code: str):
    assert code_of(as_reply(code)) == code.rstrip("\n")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "submit(1)",
        "```sql\nSELECT 1\n```",
        "```python\nx",
        "```python\n1\n```\n```python\n2\n```",
    ],
)
def test_anything_but_one_python_block_is_no_code(reply: str):
    assert code_of(reply) is None


def test_feedback_is_output_then_error_or_says_what_is_missing():
    assert feedback(CellResult(ok=True, stdout="3\n")) == "3"
    assert (
        feedback(CellResult(ok=False, stdout="3\n", stderr="KeyError: 'x'")) == "3\nKeyError: 'x'"
    )
    assert feedback(CellResult(ok=True)) == NO_ANSWER
    assert feedback(None) == NO_BLOCK
    assert len(feedback(CellResult(ok=True, stdout="x" * 9000))) == 2000
