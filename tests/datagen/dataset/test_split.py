import hashlib
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.cli import main
from datagen.dataset.split import Side, Split, split
from datagen.episode import Episode, Provenance, Question, TableRef, Verdict, write_episodes
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


NOWHERE = Path("no/such/folder")


def on(found: Split, side: Side, episodes: list[Episode]) -> list[Episode]:
    return [each for each, its in zip(episodes, found.sides, strict=True) if its == side]


@given(tables=st.integers(4, 12), seed=st.integers(0, 99), share=st.floats(0.2, 0.7))
def test_no_table_is_on_both_sides_and_nothing_is_lost(tables: int, seed: int, share: float):
    episodes = [episode(t, n) for t in range(tables) for n in range(2)]
    found = split(episodes, NOWHERE, test_share=share, seed=seed)
    train, test = on(found, "train", episodes), on(found, "test", episodes)
    sides = [{e.tables[0].sha256 for e in side} for side in (train, test)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == round(share * tables) == found.tables["test"]
    assert sorted(e.id for e in train + test) == sorted(e.id for e in episodes)


def test_named_tables_are_held_out_and_the_seed_moves_the_rest():
    episodes = [episode(t, 0) for t in range(12)]
    found = [split(episodes, NOWHERE, test_share=0.3, seed=s, hold_out=["t7"]) for s in range(5)]
    tests = [frozenset(e.tables[0].name for e in on(f, "test", episodes)) for f in found]
    assert all("t7" in names and len(names) == 4 for names in tests)
    assert len(set(tests)) > 1


def test_of_two_tables_one_is_held_out():
    episodes = [episode(t, n) for t in range(2) for n in range(2)]
    assert split(episodes, NOWHERE, test_share=0.25, seed=0).tables["test"] == 1


def test_unknown_name_and_empty_side():
    with pytest.raises(Usage, match="nope"):
        split([episode(1, 1)], NOWHERE, test_share=0.5, seed=0, hold_out=["nope"])
    with pytest.raises(BadData, match="no test episode"):
        split([episode(1, 1)], NOWHERE, test_share=0.1, seed=0)


def test_an_episode_about_tables_of_both_sides_is_in_neither_and_is_counted():
    episodes = [episode(1, 0), episode(2, 0), episode(1, 1, 2)]
    found = split(episodes, NOWHERE, test_share=0.0, seed=0, hold_out=["t2"])
    assert found.sides == ["train", "test", None]
    assert found.left_out == {"tables on both sides": 1}


def test_held_out_families_are_not_trained_on():
    episodes = [episode(t, n, family=f"f{n}") for t in range(4) for n in range(10)]
    found = split(episodes, NOWHERE, test_share=0.25, seed=1, family_share=0.3)
    trained = {e.question.family for e in on(found, "train", episodes)}
    held = {e.question.family for e in on(found, "families", episodes)}
    assert len(held) == 3
    assert not trained & held
    assert None not in found.sides


MEAN = 'submit(df["age"].mean())'


def test_a_near_duplicate_of_a_test_question_is_not_trained_on():
    same = {"text": 'What is the mean "age" of all passengers?', "code": MEAN}
    episodes = [episode(1, 0, **same), episode(1, 1), episode(2, 0, **same)]
    found = split(episodes, NOWHERE, test_share=0.0, seed=0, hold_out=["t2"])
    assert found.sides == [None, "train", "test"]
    assert found.left_out == {"near-duplicate of a test question": 1}


def written(folder: Path, number: int, rows: list[str], *, name: str) -> Episode:
    """An episode about a table in the folder."""
    content = "\n".join(["a,b", *rows, ""]).encode()
    (folder / f"{name}.csv").write_bytes(content)
    table = TableRef(
        name=name, path=f"{name}.csv", sha256=hashlib.sha256(content).hexdigest(), rows=len(rows), columns=[]
    )  # fmt: skip
    return episode(0, number).model_copy(update={"id": name, "tables": [table]})


def test_the_same_rows_in_another_order_are_the_same_table(tmp_path: Path):
    rows = [[f"{table},{n}" for n in range(50)] for table in range(8)]
    first = [written(tmp_path, n, its, name=f"t{n}") for n, its in enumerate(rows)]
    shuffled = [random.Random(1).sample(its, 50) for its in rows]
    copies = [written(tmp_path, n, its, name=f"copy{n}") for n, its in enumerate(shuffled)]
    assert not {e.tables[0].sha256 for e in first} & {e.tables[0].sha256 for e in copies}
    for seed in range(5):
        found = split([*first, *copies], tmp_path, test_share=0.25, seed=seed)
        assert found.sides[:8] == found.sides[8:]
        assert found.tables == {"train": 6, "test": 2, "families": 0}
        assert split(copies, tmp_path, test_share=0.25, seed=seed).sides == found.sides[8:]
    held = split([*first, *copies], tmp_path, test_share=0.0, seed=0, hold_out=["t3"])
    assert [n for n, side in enumerate(held.sides) if side == "test"] == [3, 11]


def test_a_table_that_is_missing_or_has_changed_is_named(tmp_path: Path, capsys):
    episodes = [written(tmp_path, n, [f"{n},1"], name=f"t{n}") for n in range(4)]
    (tmp_path / "t1.csv").unlink()
    (tmp_path / "t2.csv").write_text("a,b\n0,0\n")
    write_episodes(tmp_path / "test.jsonl", episodes)  # read to its end before it is replaced
    assert main(["split", str(tmp_path / "test.jsonl"), "--hold-out", "t1"]) == 0
    told = capsys.readouterr()
    assert told.out.count("2 episodes over 2 tables") == 2
    assert "rows of 2 tables were not compared" in told.err
    assert told.err.endswith("has changed: t1, t2\n")
    assert "families.jsonl" not in told.out
