"""The warm-up takes as long for a wide table as for a narrow one."""

import numpy as np
import pandas as pd
import pytest

from datagen.sandbox.server import preload


@pytest.mark.parametrize(("columns", "seen"), [(3, 3), (500, 40)])
def test_a_few_columns_of_a_wide_table_are_enough(monkeypatch, columns, seen):
    widths = set()
    merge = pd.DataFrame.merge

    def watched(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
        widths.add((len(left), len(left.columns)))
        return merge(left, right)

    monkeypatch.setattr(pd.DataFrame, "merge", watched)
    frame = pd.DataFrame(np.arange(30 * columns).reshape(30, columns)).add_prefix("c")
    preload.warm_tables({"wide": frame})
    assert widths == {(20, seen)}
