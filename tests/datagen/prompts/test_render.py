import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episode import Column, Question, TableRef
from datagen.episodes.attempts import Task
from datagen.judge.answer_types import ANSWER_TYPES
from datagen.prompts.render import (
    NO_ANSWER,
    NO_BLOCK,
    answer_form,
    as_reply,
    code_of,
    feedback,
    opening,
    prompt_hash,
)
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


QUESTION = Question(
    id="q",
    text="What is the mean price?",
    answer_type="number",
    decimals=2,
    units="EUR",
    source="proposed",
    family="f",
    difficulty="easy",
    hint="Leave out returns.",
)
TABLE = TableRef(
    name="shop",
    path="shop.csv",
    sha256="0",
    rows=3,
    columns=[
        Column(
            name="price",
            kind="number",
            meaning="amount",
            missing=1,
            distinct=2,
            low=2,
            high=3.5,
            unit="EUR",
            top=["2", "3.5"],
        ),
        Column(name="day", kind="date", meaning="date", first="2024-01-01", last="2024-02-01"),
        Column(name="a\n`b`", kind="text", top=["x" * 90]),
    ],
    head=[["2", "2024-01-01", "y\nz"], ["", "2024-02-01", "x" * 90]],
)


def test_the_brief_style_is_the_tiny_model_s_to_the_byte():
    """The bundled base model was trained on exactly these texts: whoever changes them retrains it."""
    assert prompt_hash() == "c71804a9a80853b4b5383b7f89051f7b4867ec3a2059103ff06dd2d3b8373c63"
    said = [
        *(message.content for message in opening(QUESTION, [TABLE, TABLE])),
        feedback(None, left=2),
        feedback(CellResult(ok=True), left=2),
        feedback(CellResult(ok=False, stdout="3\n", stderr="KeyError: 'x'"), left=1),
        feedback(CellResult(ok=True, stdout="x" * 9000), left=1),
    ]
    digest = hashlib.sha256("\0".join(said).encode()).hexdigest()
    assert digest == "e6e6dfbfa60b4fd11678122c0356cf9c5f5c765bb9aea7b21ee1e2eb14605345"


def test_the_full_style_tells_the_table_before_and_the_question_last():
    system, user = opening(QUESTION, [TABLE], "full")
    for told in (
        "at most 6000 characters",
        "You have 8 turns",
        'df is the table "shop", as a pandas DataFrame.',
        'Table "shop": 3 rows, 3 columns',
        '- "price": number (amount), unit EUR, 1 missing, 2 different, from 2 to 3.5, often 2, 3.5',
        '- "day": date, from 2024-01-01 to 2024-02-01',
        '- "a `b`": text, often ' + "x" * 39 + "…",
        "price,day,a `b`\n2,2024-01-01,y z\n,2024-02-01," + "x" * 39 + "…",
        "hook(value, name, depends_on=[])",
        "submit(answer)",
    ):
        assert told in system.content
    assert user.content == (
        "Question: What is the mean price?\nSubmit a number to 2 decimals, as submit(3.25), in EUR."
    )
    other = QUESTION.model_copy(update={"id": "r", "text": "How many rows?"})
    assert opening(other, [TABLE], "full")[0] == system


def test_further_tables_are_named_and_a_wide_one_is_cut():
    wide = TABLE.model_copy(
        update={
            "name": "wide",
            "columns": [Column(name=f"c{at}", kind="integer") for at in range(200)],
            "head": [["1"] * 200],
        }
    )
    system, _ = opening(QUESTION, [TABLE, wide], "full")
    assert 'it is tables["shop"] too, and the others are tables["wide"].' in system.content
    assert "- and 140 more columns, in df.columns" in system.content
    assert len(system.content) < 8000


def test_the_compact_style_states_the_form_of_the_answer_in_few_words():
    system, user = opening(QUESTION, [TABLE], "compact")
    assert code_of(system.content) == 'submit(round(df["price"].mean(), 2))'
    assert user.content == (
        "shop\nprice number\nday date\na\n`b` text\nQuestion: What is the mean price?\n"
        "Submit a number to 2 decimals, as submit(3.25), in EUR."
    )
    assert feedback(None, "compact", left=1) == feedback(None, left=1)
    assert len({prompt_hash(style) for style in ("brief", "compact", "full")}) == 3


@pytest.mark.parametrize("style", ["brief", "compact", "full"])
def test_the_hint_is_shown_only_to_whom_it_is_for(style):
    seen = opening(QUESTION, [TABLE], style, hinted=True)[-1].content
    assert seen == opening(QUESTION, [TABLE], style)[-1].content + "\nHint: Leave out returns."
    assert "returns" not in "".join(m.content for m in opening(QUESTION, [TABLE], style))
    unhinted = QUESTION.model_copy(update={"hint": None})
    assert opening(unhinted, [TABLE], style, hinted=True) == opening(unhinted, [TABLE], style)


@pytest.mark.parametrize("kind", ANSWER_TYPES)
def test_every_answer_type_has_a_form(kind):
    question = QUESTION.model_copy(update={"answer_type": kind, "units": None})
    form = answer_form(question)
    assert "{" not in form.replace('{"mean"', "")
    assert ("2 decimals" in form) == (kind in {"number", "list", "set", "object"})
    precise = question.model_copy(update={"decimals": None, "significant": 3})
    assert ("3 significant digits" in answer_form(precise)) == ("2 decimals" in form)


def test_full_feedback_caps_head_and_tail_and_counts_the_turns():
    long = feedback(CellResult(ok=False, stdout="a" * 9000, stderr="E: b"), "full", left=3)
    assert long.startswith("a" * 3000 + "\n... 3005 characters left out ...\n")
    assert long.endswith("a\nE: b\n(3 turns left)")
    assert feedback(CellResult(ok=True), "full", left=1) == (
        "The code ran and printed nothing.\n(last turn: submit the answer now)"
    )
    assert "exactly one ```python block" in feedback(None, "full", left=2)
    assert "cut off" in feedback(None, "full", left=2, cut_off=True)
    assert prompt_hash("full") != prompt_hash()
