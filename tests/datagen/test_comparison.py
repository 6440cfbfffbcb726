import pytest

from datagen.comparison import compared, effort, text, verdict
from datagen.episode import (
    Episode,
    Message,
    Provenance,
    Question,
    TableRef,
    Trace,
    Turn,
    Verdict,
)
from trainer.contract.errors import BadData


def episode(number: int, *, right: bool, table: int = 0, slip: bool = False) -> Episode:
    turns = [Turn(reply="x", code="x", error=True, feedback="no")] if slip else []
    turns.append(Turn(reply="y", code="y", submitted=True, answer=1))
    return Episode(
        id=f"e{number}{right}",
        question=Question(
            id=f"q{number}", text="?", answer_type="integer", source="template",
            family=f"f{number % 2}", difficulty="easy", truth=1,
        ),
        tables=[
            TableRef(name=f"t{table}", path="t.csv", sha256=f"{table:064}", rows=1, columns=[])
        ],
        traces=[
            Trace(opening=[Message(role="user", content="?")], turns=turns, cost=0.5, seconds=2.0)
        ],
        verdict=Verdict(verified=right, rule="r"),
        provenance=Provenance(
            model="m", prompt_sha256="p", sandbox_level="full", seed=0, versions={}
        ),
    )  # fmt: skip


def both(wins: int, losses: int, ties: int, tables: int) -> tuple[list[Episode], list[Episode]]:
    outcomes = [(False, True)] * wins + [(True, False)] * losses + [(True, True)] * ties
    base = [episode(n, right=b, table=n % tables) for n, (b, _) in enumerate(outcomes)]
    adapter = [episode(n, right=a, table=n % tables) for n, (_, a) in enumerate(outcomes)]
    return base, adapter


def test_a_gain_and_a_regression_are_said_equally_loudly():
    base, adapter = both(30, 2, 40, tables=12)
    gain, loss = compared(base, adapter), compared(adapter, base)
    assert verdict(gain) == "the adapter is BETTER than the base by +0.389"
    assert verdict(loss) == "the adapter is WORSE than the base by -0.389"
    assert gain["low"] < gain["difference"] < gain["high"]
    assert (gain["clusters"], gain["reliable"]) == (12, True)
    assert text(gain)[-1] == verdict(gain)


def test_too_few_questions_are_said_to_be_too_few():
    found = compared(*both(2, 1, 3, tables=3))
    assert "no difference can be told from chance (+0.167)" in verdict(found)
    assert "too few" in verdict(found)
    assert any("over only 3 tables: too narrow" in line for line in text(found))


def test_groups_add_up_and_order_does_not_matter():
    base, adapter = both(5, 2, 9, tables=4)
    found = compared(base, adapter[::-1])
    for name in ("families", "tables", "difficulties", "sources", "answer_types"):
        assert sum(row["n"] for row in found[name].values()) == found["n"] == 16
        assert sum(row["wins"] for row in found[name].values()) == found["wins"]


def test_results_of_other_questions_are_refused_and_some_are_counted():
    base, adapter = both(5, 2, 9, tables=4)
    assert compared(base[:10], adapter[4:])["unpaired"] == 10
    with pytest.raises(BadData, match="no question in common"):
        compared(base[:4], adapter[4:])


def test_effort():
    found = effort(
        [
            episode(1, right=True, slip=True),
            episode(2, right=False, slip=True),
            episode(3, right=True),
            episode(4, right=True),
        ]
    )
    assert found["recovered"] == 0.5
    assert found["turns"] == 1.5
    assert found["cost_per_correct"] == pytest.approx(2.0 / 3)
    assert effort([episode(1, right=False)])["cost_per_correct"] is None
