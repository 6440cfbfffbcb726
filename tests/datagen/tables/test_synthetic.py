from pathlib import Path

from datagen.tables.synthetic import LIMIT, synthetic_tables
from datagen.tables.table import profile_table, read_table


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path):
    first, again, other = (
        [p.read_bytes() for p in synthetic_tables(tmp_path / name, count=5, seed=seed)]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert not set(first) & set(other)


def test_no_two_tables_share_a_column_or_a_value(tmp_path: Path):
    names: list[str] = []
    for path in synthetic_tables(tmp_path, count=LIMIT, seed=3):
        frame = read_table(path)
        profile = profile_table(path)
        assert len(profile.categories()) == 2
        assert 2 <= len(profile.amounts()) <= 4
        names += [path.stem, *frame.columns]
        for category in profile.categories():
            names += [*frame[category.name].unique()]
    assert len(names) == len(set(names))
