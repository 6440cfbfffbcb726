import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from datagen.episode import Question
from datagen.questions.cells import Cells
from datagen.questions.database import Database
from datagen.questions.records import Family, Reading, bundled
from datagen.questions.slots.draw import Draw
from datagen.questions.template import Source, Tally, ask
from datagen.tables.table import bundled_tables, profile_table

FAMILIES = bundled()
BY_NAME = {family.name: family for family in FAMILIES}


ROWS = Family(
    name="rows",
    slots={"n": "amount"},
    wordings=["How many rows are there beside {n}?"],
    code="answer = len(df)",
    sql="select count(*) from t",
    plan="I count the rows.",
    answer="integer",
)


def asked(family: Family, path: Path, **other: Any) -> tuple[list[Question], Tally]:
    tally = Tally()
    changed = Family(**{**family.model_dump(exclude={"slots"}), "slots": {"n": "amount"}, **other})
    questions = ask(
        [profile_table(path)], count=1, seed=0, families=[changed], tally=tally
    ).questions
    return questions, tally


def proposals(path: Path, seed: int = 0, times: int = 1, *families: Family) -> list[Question]:
    """What families would ask about a table, their code not run."""
    profile = profile_table(path)
    cells = Cells.of(profile)
    database = Database([cells])
    sources = [
        Source(
            family,
            Draw([profile], [cells], random.Random(f"{seed}-{family.name}"), database),
            Tally(),
        )
        for family in families or FAMILIES
        if family.tables == 1
    ]
    found = (source.propose({}) for source in sources for _ in range(times))
    return [question for question in found if question]


def test_there_are_sixty_families_and_more():
    assert len(BY_NAME) == len(FAMILIES)
    assert len(FAMILIES) >= 60


def test_every_family_is_asked_and_no_two_routes_disagree(repairs: Path, machines: Path):
    made: Counter[str] = Counter()
    for paths in ([repairs], [repairs, machines]):
        tally = Tally()
        profiles = [profile_table(path) for path in paths]
        ask(profiles, count=len(FAMILIES), seed=2, tally=tally)
        assert tally.disagreements == []
        made += tally.made
    assert {*BY_NAME} - made.keys() == set()


@pytest.mark.parametrize("path", bundled_tables(), ids=lambda path: path.stem)
def test_bundled_tables_give_questions_and_no_disagreement(path: Path):
    tally = Tally()
    questions = ask([profile_table(path)], count=12, seed=7, tally=tally).questions
    assert tally.disagreements == []
    assert len(questions) >= (10 if path.stem == "airlines" else 12)
    assert len({q.text for q in questions}) == len(questions)


def test_each_question_states_its_form(repairs: Path):
    for question in proposals(repairs, 1, 2):
        assert question.code is not None
        assert question.code.splitlines()[-1].startswith("submit(")
        assert question.hint
        if question.decimals is not None:
            assert f"rounded to {question.decimals} decimals" in question.text.replace(
                "Round to", "rounded to"
            )
        if question.units:
            assert question.units in question.text


def test_the_seed_decides_and_the_hash_seed_does_not(repairs: Path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.datagen.questions.test_template import proposals\n"
        "for q in proposals(Path(sys.argv[1]), 0):\n    print(q.model_dump_json())\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code, repairs],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            check=True,
            text=True,
        ).stdout.splitlines()
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == [q.model_dump_json() for q in proposals(repairs, 0)]
    assert outputs[0] != [q.model_dump_json() for q in proposals(repairs, 1)]


def test_a_disagreement_of_the_routes_is_dropped_and_shown(repairs: Path):
    questions, tally = asked(ROWS, repairs, code="answer = len(df) - 1")
    assert questions == []
    assert tally.dropped["rows", "the two routes disagree"] > 0
    assert "truth 240, code 239" in tally.disagreements[0]


def test_code_that_fails_is_a_disagreement(repairs: Path):
    questions, tally = asked(ROWS, repairs, code='answer = df["no"]')
    assert questions == []
    assert "KeyError" in tally.disagreements[0]


def test_another_reading_is_ruled_out_in_the_text_or_the_question_is_dropped(repairs: Path):
    header = {"name": "header", "sql": "select count(*) + 1 from t"}
    clause = "Do not count the header."
    said, _ = asked(ROWS, repairs, readings=[{**header, "clause": clause}])
    assert clause in said[0].text
    silent, tally = asked(ROWS, repairs, readings=[header])
    assert silent == []
    assert tally.dropped["rows", "another reading: header"] > 0


def test_a_reading_that_gives_the_same_answer_is_not_mentioned(repairs: Path):
    same = Reading(name="same", replace={"count(*)": "sum(1)"}, clause="Never said.")
    questions, _ = asked(ROWS, repairs, readings=[same])
    assert "Never said." not in questions[0].text


def test_what_a_truth_refuses_is_counted_by_its_reason(repairs: Path):
    questions, tally = asked(ROWS, repairs, refuse={"tie": "select true"})
    assert questions == []
    assert tally.reasons() == {"tie": tally.dropped["rows", "tie"]}


def test_a_table_too_large_for_the_plain_route_is_left_alone(repairs: Path, monkeypatch):
    monkeypatch.setattr("datagen.questions.template.MOST_ROWS", 239)
    questions, tally = asked(ROWS, repairs)
    assert questions == []
    assert tally.reasons() == {"a table of more than 239 rows": 1}


def test_a_family_without_fitting_columns_is_left_alone(tmp_path: Path):
    path = tmp_path / "names.csv"
    path.write_text("who\nA\nB\nC\n", "utf-8")
    questions, tally = asked(ROWS, path, slots={"n": "amount", "c": "category"})
    assert questions == []
    assert not tally.dropped


@pytest.mark.parametrize(
    ("name", "clause"),
    [
        ("standard_deviation", "Divide by n - 1."),
        ("percentile", "Interpolate linearly."),
        ("rows_between_dates", "Both dates belong to the range."),
        ("text_contains", "Ignore upper and lower case."),
        ("variation", "Divide by n - 1."),
        ("weighted_mean", "Skip missing"),
        ("leaders_share", "No group for missing"),
        ("first_of_each", "No group for missing"),
        ("impute_by_group", "No group for missing"),
        ("anova", "No group for missing"),
        ("levene", "No group for missing"),
        ("kruskal_wallis", "No group for missing"),
        ("chi_squared", "No group for missing"),
        ("welch_t", "Skip missing"),
        ("mann_whitney", "Skip missing"),
        ("partial_slope", "Skip missing"),
    ],
)
def test_the_readings_of_the_families_are_stated(repairs: Path, name: str, clause: str):
    texts = {q.text for q in proposals(repairs, 0, 40, BY_NAME[name])}
    assert any(clause in text for text in texts), texts


def test_identifiers_and_parts_of_a_calendar_are_not_averaged(tmp_path: Path):
    path = tmp_path / "cars.csv"
    rows = [f"{at},{1990 + at % 9},{at % 12 + 1},{7 * at % 31}" for at in range(48)]
    path.write_text("car_id,year,month,price\n" + "\n".join(rows) + "\n", "utf-8")
    grouped = set()
    for question in proposals(path, 0, 3):
        params = question.params
        assert params.get("n") in (None, "price")
        assert params.get("m") in (None, "price")
        grouped.add(params.get("c"))
    assert {"year", "month"} <= grouped
