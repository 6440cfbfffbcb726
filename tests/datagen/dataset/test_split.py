import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.dataset.split import near_duplicates, split
from datagen.episode import Episode, Provenance, Question, TableRef, Verdict
from trainer.contract.command.errors import BadData, Usage


def episode(
    table: int,
    number: int,
    *others: int,
    text: str = "",
    family: str = "f",
    code: str | None = None,
) -> Episode:
    return Episode(
        id=f"{table}-{number}",
        question=Question(
            id=f"{table}-{number}", text=text or f"Question {table} of {number}?", answer_type="integer", source="template", family=family,
            params={}, difficulty="easy", truth=1, code=code,
        ),
        tables=[TableRef(name=f"t{t}", path=f"t{t}.csv", sha256=f"{t:064}", rows=1, columns=[]) for t in (table, *others)],
        traces=[],
        verdict=Verdict(verified=True, rule="r"),
        provenance=Provenance(model="m", prompt_sha256="p", sandbox_level="full", seed=0, versions={}),
    )  # fmt: skip


@given(tables=st.integers(4, 12), seed=st.integers(0, 99), share=st.floats(0.2, 0.7))
def test_no_table_is_on_both_sides_and_nothing_is_lost(tables: int, seed: int, share: float):
    episodes = [episode(t, n) for t in range(tables) for n in range(2)]
    found = split(episodes, test_share=share, seed=seed)
    train, test = found.train, found.test
    sides = [{e.tables[0].sha256 for e in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(share * tables)
    assert sorted(e.id for e in train + test) == sorted(e.id for e in episodes)


def test_named_tables_are_held_out_and_the_seed_moves_the_rest():
    episodes = [episode(t, 0) for t in range(12)]
    tests = [
        frozenset(
            e.tables[0].name for e in split(episodes, test_share=0.3, seed=s, hold_out=["t7"]).test
        )
        for s in range(5)
    ]
    assert all("t7" in names and len(names) == 4 for names in tests)
    assert len(set(tests)) > 1


def test_unknown_name_and_empty_side():
    with pytest.raises(Usage, match="nope"):
        split([episode(1, 1)], test_share=0.5, seed=0, hold_out=["nope"])
    with pytest.raises(BadData, match="no test episode"):
        split([episode(1, 1)], test_share=0.1, seed=0)


def test_an_episode_about_tables_of_both_sides_is_in_neither_and_is_counted():
    episodes = [episode(1, 0), episode(2, 0), episode(1, 1, 2)]
    found = split(episodes, test_share=0.0, seed=0, hold_out=["t2"])
    assert [e.id for e in found.train + found.test] == ["1-0", "2-0"]
    assert found.left_out == {"tables on both sides": 1}


def test_held_out_families_are_not_trained_on():
    episodes = [episode(t, n, family=f"f{n}") for t in range(4) for n in range(10)]
    found = split(episodes, test_share=0.25, seed=1, family_share=0.3)
    trained = {e.question.family for e in found.train}
    held = {e.question.family for e in found.families}
    assert len(held) == 3
    assert not trained & held
    assert len(found.train) + len(found.families) + len(found.test) == 40


MEAN = 'submit(df["age"].mean())'


@pytest.mark.parametrize(
    ("text", "code", "near"),
    [
        (
            'What is the mean "age" of all the  passengers?',
            "x = df['age'].mean()\nsubmit(x)",
            False,
        ),
        ('what is the mean "age" of all passengers', MEAN, True),
        ('What is the mean "age" of all passengers?', 'submit( df["age"] . mean() ) # so', True),
        ('What is the mean "age" of all passengers?', 'submit(df["fare"].mean())', False),
        ("How old are the people in this list on average, please?", MEAN, False),
    ],
)
def test_near_duplicates_read_alike_and_are_solved_alike(text: str, code: str, near: bool):
    held = [episode(2, 0, text='What is the mean "age" of all passengers?', code=MEAN)]
    assert near_duplicates([episode(1, 0, text=text, code=code)], held) == (
        {"1-0"} if near else set()
    )


def test_a_near_duplicate_of_a_test_question_is_not_trained_on():
    same = {"text": 'What is the mean "age" of all passengers?', "code": MEAN}
    episodes = [episode(1, 0, **same), episode(1, 1), episode(2, 0, **same)]
    found = split(episodes, test_share=0.0, seed=0, hold_out=["t2"])
    assert [e.id for e in found.train] == ["1-1"]
    assert found.left_out == {"near-duplicate of a test question": 1}
