import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.episode import Episode, Provenance, Question, TableRef, Verdict
from datagen.split import split_by_table
from trainer.contract.errors import BadData, Usage


def episode(table: int, number: int) -> Episode:
    return Episode(
        id=f"{table}-{number}",
        question=Question(
            id=f"{table}-{number}", text="?", answer_type="integer", source="template", family="f",
            params={}, difficulty="easy", truth=1,
        ),
        tables=[TableRef(name=f"t{table}", path=f"t{table}.csv", sha256=f"{table:064}", rows=1, columns=[])],
        traces=[],
        verdict=Verdict(verified=True, rule="r"),
        provenance=Provenance(model="m", prompt_sha256="p", sandbox_level="full", seed=0, versions={}),
    )  # fmt: skip


@given(tables=st.integers(4, 12), seed=st.integers(0, 99), share=st.floats(0.2, 0.7))
def test_no_table_is_on_both_sides_and_nothing_is_lost(tables: int, seed: int, share: float):
    episodes = [episode(t, n) for t in range(tables) for n in range(2)]
    train, test = split_by_table(episodes, test_share=share, seed=seed)
    sides = [{e.tables[0].sha256 for e in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(share * tables)
    assert sorted(e.id for e in train + test) == sorted(e.id for e in episodes)


def test_named_tables_are_held_out_and_the_seed_moves_the_rest():
    episodes = [episode(t, 0) for t in range(12)]
    tests = [
        frozenset(
            e.tables[0].name
            for e in split_by_table(episodes, test_share=0.3, seed=s, hold_out=["t7"])[1]
        )
        for s in range(5)
    ]
    assert all("t7" in names and len(names) == 4 for names in tests)
    assert len(set(tests)) > 1


def test_unknown_name_and_empty_side():
    with pytest.raises(Usage, match="nope"):
        split_by_table([episode(1, 1)], test_share=0.5, seed=0, hold_out=["nope"])
    with pytest.raises(BadData, match="no test episode"):
        split_by_table([episode(1, 1)], test_share=0.1, seed=0)
