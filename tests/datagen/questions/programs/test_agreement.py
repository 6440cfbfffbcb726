"""SQL and pandas find the same answers: for every step, and for tables nobody chose."""

import datetime as dt
import random
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.judge.compare import judge
from datagen.questions.family import Unasked
from datagen.questions.programs.answer import answer
from datagen.questions.programs.draw import draw
from datagen.questions.programs.frame import start
from datagen.questions.programs.source import as_question
from datagen.questions.programs.step import steps
from datagen.tables.table import profile_table, read_table

ENOUGH = 400


def test_every_step_is_drawn_and_both_routes_agree_on_each(table, alone, profiles, solve):
    rng = random.Random(1)
    used: Counter[str] = Counter()
    refused: list[str] = []
    for turn in range(ENOUGH):
        several = turn % 4 == 0
        frame = table if several else alone
        try:
            program = draw(frame, rng, used)
            found = answer(frame, program)
        except Unasked as reason:
            refused.append(str(reason))
            continue
        used.update(filled.step.name for filled in program)
        question = as_question(program, found, profiles if several else profiles[:1])
        value = solve(question.code)
        judged = judge(value, question.truth, question.answer_type, question.decimals)
        assert judged.correct or on_a_border(found), (question.code, value, question.truth)
    assert not [reason for reason in refused if "SQL" in reason]
    assert {*steps()} <= {*used}, {*steps()} - {*used}


def on_a_border(found) -> bool:
    """Answers that `solve` refuses, which is not asked here: two routes may round them apart."""
    return bool(found.type == "number" and abs(found.value * 1e6 % 1 - 0.5) < 1e-3)


names = st.lists(st.sampled_from(["a b", "Größe", "x", "year", "n%"]), min_size=3, unique=True)
cells = {
    "integer": st.integers(-50, 50).map(str) | st.just(""),
    "number": st.floats(-1e3, 1e3).map(lambda x: f"{x:.2f}") | st.just("NA"),
    "label": st.sampled_from(["red", "blue", "Grün", ""]),
    "day": st.dates(min_value=dt.date(1990, 1, 1)).map(str),
    "flag": st.sampled_from(["True", "False"]),
}


@st.composite
def csv_texts(draw) -> str:
    columns = [[name, draw(st.sampled_from([*cells]))] for name in draw(names)]
    rows = draw(st.integers(12, 40))
    lists = [draw(st.lists(cells[kind], min_size=rows, max_size=rows)) for _, kind in columns]
    header = ",".join(name for name, _ in columns)
    return "\n".join([header, *(",".join(row) for row in zip(*lists, strict=True))]) + "\n"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=csv_texts(), seed=st.integers(0, 999))
def test_both_routes_agree_on_any_table(text, seed, tmp_path_factory, submitted):
    path: Path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_text(text, "utf-8")
    profile = profile_table(path)
    table, frame = start([profile]), read_table(path, profile.reading)
    rng = random.Random(seed)
    refused: list[str] = []
    for _ in range(8):
        try:
            program = draw(table, rng, Counter())
            found = answer(table, program)
        except Unasked as reason:
            refused.append(str(reason))
            continue
        question = as_question(program, found, [profile])
        value = submitted(question.code, {profile.name: frame})
        judged = judge(value, question.truth, question.answer_type, question.decimals)
        assert judged.correct or on_a_border(found), (text, question.code, value, question.truth)
    assert not [reason for reason in refused if "SQL" in reason], text
