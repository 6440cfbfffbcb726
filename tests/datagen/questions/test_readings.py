"""Truths and readings by hand, over a table small enough to see."""

import random
from pathlib import Path

import pytest

from datagen.questions.cells import Cells
from datagen.questions.database import Database
from datagen.questions.family import Unasked
from datagen.questions.readings import readings
from datagen.questions.records import Family
from datagen.questions.slots.draw import Draw
from datagen.questions.truth import expanded, truth
from datagen.tables.table import profile_table

# Ten rows: a sums to 45 + 100; one x is missing, one c is missing; "A" and "a" are two names.
TABLE = "A,a,x,c\n" + "\n".join(
    f"{at},{10 * at},{'' if at == 3 else at + 0.5},{'' if at == 4 else 'uvw'[at % 3]}"
    for at in range(10)
)


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    path = tmp_path / "small.csv"
    path.write_text(TABLE, "utf-8")
    profile = profile_table(path)
    cells = [Cells.of(profile)]
    found = Draw([profile], cells, random.Random(0), Database(cells))
    found.bound.update({"n": found.named("x"), "c": found.named("c"), "m": found.named("a")})
    return found


def family(sql: str, **more: object) -> Family:
    slots = {"n": "amount", "c": "category", "m": "amount"}
    given = {
        "name": "f",
        "slots": slots,
        "wordings": ["?"],
        "plan": "p",
        "code": "answer = 0",
        "sql": sql,
    }
    return Family(**{**given, **more})


def test_names_that_differ_in_case_only_are_two_columns(draw: Draw):
    assert truth(family("select sum({m}) from t"), draw) == 450


def test_a_missing_number_is_also_read_as_zero_and_a_missing_group_as_a_group(draw: Draw):
    """x: 0.5 + ... + 9.5 without 3.5 is 46.5, over 9 or over 10 rows. u v w: 4, 2 (at 4 is gone), 3 rows."""
    mean = family("select avg({n}) from known({n})")
    assert truth(mean, draw) == pytest.approx(46.5 / 9)
    assert [(name, found) for name, _, found in readings(mean, draw)] == [
        ("missing as zero", pytest.approx(4.65))
    ]
    groups = family("select count(distinct {c}) from known({c})")
    assert truth(groups, draw) == 3
    assert ("missing as a group", 4) in [(name, found) for name, _, found in readings(groups, draw)]
    assert [*readings(family(mean.sql, states_gaps=True), draw)] == []


def test_sample_quartile_and_range_have_other_readings(draw: Draw):
    """0, 10, ..., 90: the lower quartile lies between 20 and 30; eight values are strictly inside 0..90."""
    quartile = family("select quantile_cont({m}, 0.25) from known({m})")
    assert truth(quartile, draw) == pytest.approx(22.5)
    assert [found for _, clause, found in readings(quartile, draw) if clause] == [20, 30]
    between = family("select count(*) from t where {m} between 0 and 90")
    assert [found for *_, found in readings(between, draw)] == [8]
    spread = family("select stddev_samp({m}) ** 2 from known({m})")
    assert [found for *_, found in readings(spread, draw)] == [pytest.approx(825)]
    assert truth(spread, draw) == pytest.approx(8250 / 9)


def test_what_is_no_single_answer_is_refused(draw: Draw):
    def refused(sql: str, **more: object) -> str:
        with pytest.raises(Unasked) as why:
            truth(family(sql, **more), draw)
        return str(why.value)

    assert refused("select avg({n}) from known({n} where {m} > 80)") == "too few values"
    assert refused("select sum({m}) / 0 from t") == "not computable"
    assert refused("select exp(1000 * {m}) from t order by {m} desc limit 1") == "not computable"
    assert refused("select c, 1 from (values ('u'), ('v')) v(c)", take="first") == "tie"
    assert refused("select 1", refuse={"no reason": "select 1 = 1"}) == "no reason"
    assert refused("select 1", border=["select 0.1::double + 0.2::double, 0.3"]) == "border"
    assert (
        refused(
            "select 1",
            clear=[
                "select {c}, count(*) from known({c}) group by 1",
                "select 1, 2 union all select 2, 2",
            ],
        )
        == "tie"
    )


def test_known_reads_brackets_and_quotes():
    sql, counts = expanded("select x from known(c1, c2 where (c1 > 0 or c3 = ')')) group by 1")
    assert sql == (
        "select x from (select * from t where c1 is not null and c2 is not null and ((c1 > 0 or c3 = ')')))"
        " group by 1"
    )
    assert len(counts) == 1
