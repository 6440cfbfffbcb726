import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.contract.rows import Row
from trainer.contract.sizing import evaluations as border
from trainer.data import holdout


def rows_of(texts):
    return [
        Row([{"role": "user", "content": text}, {"role": "assistant", "content": "a"}], None, line)
        for line, text in enumerate(texts, 1)
    ]


def texts(rows):
    return {row.messages[0]["content"] for row in rows}


@given(
    words=st.lists(st.integers(0, 60), min_size=0, max_size=120),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 9),
)
def test_every_row_is_on_one_side_and_twins_are_on_the_same(words, share, seed):
    rows = rows_of(map(str, words))
    kept, held = holdout.hold_out(rows, share=share, seed=seed)
    assert sorted(r.line for r in [*kept, *held]) == [r.line for r in rows]
    assert [r.line for r in kept] == sorted(r.line for r in kept)
    assert not texts(kept) & texts(held)
    assert len(held) <= border.count(len(rows), share=share)


def test_how_many_and_which():
    rows = rows_of(map(str, range(1000)))
    kept, held = holdout.hold_out(rows, share=0.05, seed=0)
    assert (len(kept), len(held)) == (950, 50)
    assert holdout.hold_out(rows, share=0.05, seed=0) == (kept, held)
    assert holdout.hold_out(rows, share=0.05, seed=1)[1] != held
    assert len(holdout.hold_out(rows, share=0.5, seed=0)[1]) == border.MOST
    assert holdout.hold_out(rows[:23], share=0.05, seed=0)[1] == []
    assert len(holdout.hold_out(rows[:24], share=0.05, seed=0)[1]) == border.FEWEST


@pytest.mark.parametrize(
    ("losses", "best", "over"),
    [
        ([], None, False),
        ([3.0], (1, 3.0), False),
        ([3.0, 2.0, 2.5], (2, 2.0), False),
        ([3.0, 2.0, 2.5, 2.0], (2, 2.0), True),
        ([3.0, 2.0, 2.5, 1.0], (4, 1.0), False),
    ],
)
def test_the_lowest_and_whether_it_is_over(losses, best, over):
    history: list[dict[str, float]] = [{"step": 1, "loss": 9.0}]
    history += [{"step": step, "eval_loss": loss} for step, loss in enumerate(losses, 1)]
    assert holdout.best(history) == best
    assert holdout.is_over(history, 2) == over
    assert not holdout.is_over(history, None)
