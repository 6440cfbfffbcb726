"""Plain Python and pandas find the same answers: for every operator, and for tables nobody chose."""

import datetime as dt
import random
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.judge.compare import judge
from datagen.questions.procedural.draw import draw
from datagen.questions.procedural.program import OPERATORS
from datagen.questions.procedural.source import as_question
from datagen.questions.procedural.state import Refused
from datagen.questions.procedural.table import load
from datagen.tables.table import profile_table, read_table

ENOUGH = 400


def test_every_operator_is_drawn_and_both_routes_agree_on_each(table, alone, profiles, solve):
    rng = random.Random(1)
    used: Counter[str] = Counter()
    for turn in range(ENOUGH):
        several = turn % 4 == 0
        try:
            program, answer = draw(table if several else alone, rng, used)
        except Refused:
            continue
        used.update(step.op for step in program.steps)
        question = as_question(program, answer, profiles if several else profiles[:1])
        value = solve(question.code)
        judged = judge(value, question.truth, question.answer_type, question.decimals)
        assert judged.correct or on_a_border(answer), (question.code, value, question.truth)
    assert {*OPERATORS} <= {*used}, {*OPERATORS} - {*used}


def on_a_border(answer) -> bool:
    """Answers that `check` refuses, which is not asked here: two routes may round them apart."""
    return bool(answer.type == "number" and abs(answer.value * 1e6 % 1 - 0.5) < 1e-3)


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


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(text=csv_texts(), seed=st.integers(0, 999))
def test_both_routes_agree_on_any_table(text, seed, tmp_path_factory, submitted):
    path: Path = tmp_path_factory.mktemp("any") / "any.csv"
    path.write_text(text, "utf-8")
    profile = profile_table(path)
    table, frame = load([profile]), read_table(path, profile.reading)
    rng = random.Random(seed)
    for _ in range(12):
        try:
            program, answer = draw(table, rng, Counter())
        except Refused:
            continue
        question = as_question(program, answer, [profile])
        value = submitted(question.code, {profile.name: frame})
        judged = judge(value, question.truth, question.answer_type, question.decimals)
        assert judged.correct or on_a_border(answer), (text, question.code, value, question.truth)
