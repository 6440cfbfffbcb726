import pytest
from scipy.stats import spearmanr

from datagen.questions.procedural.checks import check, decimals_of
from datagen.questions.procedural.program import assemble
from datagen.questions.procedural.state import Answer, Column, Refused, Rows
from datagen.questions.procedural.steps.comparisons import KeepCompared
from datagen.questions.procedural.steps.conditions import KeepEqual, KeepOther
from datagen.questions.procedural.steps.derive import AgainstOwnGroup, Arithmetic, LogOnePlus
from datagen.questions.procedural.steps.groups import GroupAggregate, GroupSize
from datagen.questions.procedural.steps.join import Join
from datagen.questions.procedural.steps.relation import Correlation, Slope, WeightedMean
from datagen.questions.procedural.steps.row_ends import Count, Statistic
from datagen.questions.procedural.steps.row_parts import Lookup
from datagen.questions.procedural.steps.selections import KeepTop
from datagen.questions.procedural.steps.series import GroupsTop
from datagen.questions.procedural.steps.series_ends import TopLabel
from datagen.questions.procedural.steps.series_values import ExtremeValue

PRICES = [5, 7, 9, 11, 30, 31, 32, 33, 34, 50]
KINDS = ["a", "a", "b", "b", "b", "b", "b", "c", "c", None]


def column(name, kind, values, *uses):
    return Column(name=name, kind=kind, uses=frozenset(uses), values=values)


def rows_of(prices=PRICES, kinds=KINDS) -> Rows:
    columns = [
        column("price", "integer", prices, "amount"),
        column("kind", "text", kinds, "label"),
        column("id", "text", [f"n{at}" for at in range(len(prices))], "key"),
    ]
    return Rows(columns={c.name: c for c in columns}, index=range(len(prices)))


def judged(*steps, rows=None) -> Answer:
    table = rows or rows_of()
    program = assemble(steps)
    answer = program.run(table)
    check(program, table, answer)
    return answer


def test_a_program_in_which_all_matters_is_asked():
    assert judged(KeepCompared("price", ">", 8), Statistic("price", "mean")).value == 28.75
    assert judged(GroupAggregate("kind", "price", "mean"), TopLabel(highest=True)).value == "c"


@pytest.mark.parametrize(
    ("reason", "steps"),
    [
        ("a dead step", [KeepCompared("price", ">", 4), Count()]),
        ("a dead step", [KeepCompared("price", ">", 8), Statistic("price", "maximum")]),
        ("a dead step", [LogOnePlus("price"), Lookup("id", "log", highest=True)]),
        (
            "a dead step",
            [
                GroupAggregate("kind", "price", "mean"),
                GroupsTop(2, highest=True),
                ExtremeValue(highest=True),
            ],
        ),
        (
            "a dead step",
            [
                KeepCompared("price", ">", 6),
                KeepCompared("price", ">=", 7),
                Statistic("price", "mean"),
            ],
        ),
        (
            "the answer of the groups' sizes",
            [GroupAggregate("kind", "price", "total"), TopLabel(highest=True)],
        ),
        ("too few rows are left", [KeepEqual("kind", "a"), Statistic("price", "mean")]),
        ("a tie", [GroupSize("kind"), TopLabel(highest=False)]),
        ("a perfect correlation", [Correlation("price", "price", "pearson")]),
        (
            "the answer is 0 or 1",
            [Arithmetic("difference", "price", "price"), Statistic("difference", "mean")],
        ),
        (
            "fewer than two groups",
            [KeepEqual("kind", "b"), GroupSize("kind"), TopLabel(highest=True)],
        ),
        (
            "a top n that takes all",
            [KeepTop("price", 10, highest=True), Statistic("price", "mean")],
        ),
    ],
)
def test_what_is_refused(reason, steps):
    with pytest.raises(Refused, match=reason):
        judged(*steps)


def test_two_steps_that_undo_each_other_are_refused():
    prices = [1, 2, 3, 10, 20, 30, 38, 39, 40]
    rows = rows_of(prices, ["a"] * 9)
    steps = (
        KeepCompared("price", ">", 2),
        KeepCompared("price", "<", 39),
        Statistic("price", "median"),
    )
    with pytest.raises(Refused, match="whole table"):
        judged(*steps, rows=rows)


def test_what_is_left_of_a_mean_by_rounding_alone_is_refused():
    prices = [0.1, 0.2, 0.3, -0.6 + 1e-16, 0.4, -0.4, 7.0, -7.0]
    with pytest.raises(Refused, match="cancels out"):
        judged(Statistic("price", "mean"), rows=rows_of(prices))


def test_equal_values_share_their_mean_rank():
    columns = [
        column("x", "integer", [1, 1, 1, 2, 2, 3, 3, 3, 3, 9], "amount"),
        column("y", "integer", [5, 3, 3, 3, 8, 8, 1, 9, 9, 9], "amount"),
    ]
    rows = Rows(columns={c.name: c for c in columns}, index=range(10))
    found = Correlation("x", "y", "spearman").plain(rows).value
    expected = spearmanr(columns[0].values, columns[1].values).statistic
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_share_that_is_the_same_for_every_column_is_refused():
    columns = [*rows_of().columns.values(), column("cost", "integer", PRICES[::-1], "amount")]
    rows = Rows(columns={c.name: c for c in columns}, index=range(10))
    steps = AgainstOwnGroup("share", "price", "kind"), Statistic("share", "mean")
    with pytest.raises(Refused, match="does not matter"):
        judged(*steps, rows=rows)


@pytest.mark.parametrize(
    "end",
    [Correlation("log", "price", "pearson"), Slope("price", "log"), WeightedMean("log", "price")],
)
def test_what_a_column_was_made_from_is_not_related_to_it(end):
    with pytest.raises(Refused, match="related to itself"):
        judged(LogOnePlus("price"), end)


def test_ties_at_the_border_of_a_top_n_are_refused():
    with pytest.raises(Refused, match="a tie"):
        judged(KeepTop("price", 3, highest=True), Count(), rows=rows_of([1] * 5 + [2] * 4 + [9]))


def test_a_value_within_rounding_of_a_limit_is_refused():
    prices = [0.1 + 0.2, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    with pytest.raises(Refused, match="border"):
        judged(KeepCompared("price", ">", 0.3), Count(), rows=rows_of(prices))


def test_a_missing_value_is_no_other_value():
    assert KeepOther("kind", "b", gaps=True).holds(rows_of()) == [
        kind in {"a", "c"} for kind in KINDS
    ]


def test_a_join_must_be_used():
    shops = Rows(
        columns={
            "kind": column("kind", "text", ["a", "b"], "key", "label"),
            "area": column("area", "integer", [40, 70], "amount"),
        },
        index=range(2),
    )
    table = Rows(columns=rows_of().columns, index=range(10), others={"shops": shops})
    with pytest.raises(Refused, match="not used"):
        judged(Join("shops", "kind"), Statistic("price", "mean"), rows=table)
    assert judged(Join("shops", "kind"), Statistic("area", "total"), rows=table).value == 430


@pytest.mark.parametrize(
    ("value", "decimals"), [(12.345, 2), (1.5, 2), (0.51234, 3), (0.0512, 4), (-0.00123, 5)]
)
def test_small_numbers_are_asked_for_with_three_digits(value, decimals):
    assert decimals_of(Answer(value, "number")) == decimals


@pytest.mark.parametrize("value", [12.345, 0.0, 1.0, 1.004, 0.9996, 1e15, 1e-7])
def test_numbers_that_cannot_be_asked_for(value):
    rows = rows_of([value] * 10)
    with pytest.raises(Refused):
        judged(Statistic("price", "median"), rows=rows)
