"""Records of families: the page that explains them is true, and each fault is found with file and line."""

import re
from pathlib import Path

import pytest

from datagen.questions.records import Family, Reading, bundled, read_families
from datagen.questions.slots.kinds import KINDS, VOCABULARIES
from datagen.questions.takes import TAKES
from datagen.questions.template import Tally, ask
from datagen.tables.table import profile_table
from trainer.contract.command.errors import BadData

PAGE = Path(__file__).parents[3] / "docs" / "questions.md"
GOOD = """\
# mine
[rows_below]
wordings = ["How many rows have {n} below {t}?"]
plan = "I count."
slots = { n = "amount", t = "threshold n" }
code = "answer = (df[{n}] < {t}).sum()"
sql = "select count(*) from known({n}) where {n} < {t}"
answer = "integer"
"""


def test_the_page_names_every_key_slot_and_take():
    named = {*re.findall(r"[`(]([\w]+)", PAGE.read_text("utf-8"))}
    assert {*Family.model_fields, *Reading.model_fields, *KINDS, *VOCABULARIES, *TAKES} - {
        "name"
    } <= named


def test_the_record_of_the_page_is_asked_and_both_routes_agree(repairs: Path, tmp_path: Path):
    path = tmp_path / "my_questions.toml"
    path.write_text(PAGE.read_text("utf-8").split("```toml\n")[1].split("```")[0], "utf-8")
    questions = ask(
        [profile_table(repairs)],
        count=3,
        seed=0,
        families=read_families(path),
        tally=(tally := Tally()),
    ).questions
    assert len(questions) == 3
    assert tally.disagreements == []


@pytest.mark.parametrize(
    ("changed", "line", "said"),
    [
        ({"amount": "amont"}, 5, "'amont' is unknown; use one of amount"),
        ({"threshold n": "threshold m"}, 5, "needs a slot 'm' before it"),
        ({"threshold n": "threshold"}, 5, "missing 1 required positional argument: 'slot'"),
        ({"threshold n": "threshold n lo=2"}, 5, "unexpected keyword argument 'lo'"),
        ({"{n} below": "{x} below"}, 3, "{x} is no slot: there are n, t"),
        ({"answer = (": "result = ("}, 6, "assigns nothing to `answer`"),
        (
            {'answer = "integer"': 'answer = "whole"'},
            8,
            "'whole' is unknown; use one of integer, number",
        ),
        ({'answer = "integer"': 'take = "frst"'}, 8, "'frst' is unknown; use one of value"),
        ({'answer = "integer"': 'take = "top"'}, 8, "needs a slot 'k'"),
        ({'answer = "integer"': "leest = 4"}, 8, "Extra inputs are not permitted"),
        ({'plan = "I count."\n': ""}, 2, "Field required"),
        ({"below {t}": "below {t"}, 3, "a brace that is no slot is written twice"),
    ],
)
def test_a_fault_is_found_with_file_and_line(
    tmp_path: Path, changed: dict[str, str], line: int, said: str
):
    text = GOOD
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(BadData) as fault:
        read_families(path)
    assert f"mine.toml:{line}: [rows_below]" in str(fault.value)
    assert said in str(fault.value)


def test_no_toml_and_no_file_are_said(tmp_path: Path):
    path = tmp_path / "mine.toml"
    with pytest.raises(BadData, match="No such file"):
        read_families(path)
    path.write_text("[a\n", "utf-8")
    with pytest.raises(BadData, match=r"mine.toml: .*line 1"):
        read_families(path)
    path.write_text("a = 1\n", "utf-8")
    with pytest.raises(BadData, match=r"mine.toml:1: a is not a table: write \[a\]"):
        read_families(path)


def test_sql_that_fails_drops_its_family_and_nothing_else(repairs: Path, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(
        GOOD + GOOD.replace("rows_below", "wrong").replace("count(*)", "cuont(*)"), "utf-8"
    )
    tally = Tally()
    questions = ask(
        [profile_table(repairs)], count=4, seed=0, families=read_families(path), tally=tally
    ).questions
    assert {q.family for q in questions} == {"rows_below"}
    assert any(family == "wrong" and "cuont" in why for family, why in tally.dropped)


def test_a_family_that_fails_drops_itself_and_nothing_else(repairs: Path, tmp_path: Path):
    """Its scores are text, which cannot be subtracted."""
    wrong = GOOD.replace("rows_below", "wrong")
    sql = 'sql = "select {n}, \'a\' || {n} from known({n}) where {n} < {t}"\ntake = "gap"'
    path = tmp_path / "mine.toml"
    lines = [sql if line.startswith("sql") else line for line in wrong.splitlines()]
    path.write_text(GOOD + "\n".join(lines), "utf-8")
    tally = Tally()
    asked = ask(
        [profile_table(repairs)], count=3, seed=0, families=read_families(path), tally=tally
    )
    assert {q.family for q in asked.questions} == {"rows_below"}
    assert any(family == "wrong" and "TypeError" in why for family, why in tally.dropped)


def test_bundled_families_have_short_wordings():
    words = sorted(len(w.split()) for family in bundled() for w in family.wordings)
    assert words[len(words) // 2] < 20
