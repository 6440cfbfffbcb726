"""What the server does once so that no episode has to: reads tables, imports, makes caches."""

import contextlib
import gc
import json
from pathlib import Path
from typing import Any

import pandas as pd

from datagen.sandbox.cells.cell import Cells

# Common work of cells. The interpreter specialises code that ran a few times and the dynamic linker
# binds what is called; otherwise each child would do both again, and each write copies a page.
_ROUNDS = 3
_ROWS, _COLUMNS = 20, 40  # a merge by all of 5,000 columns alone takes minutes
_WORK = """
for column in head.columns[:12]:
    values = head[column]
    values.isna().sum(), values.nunique(), values.value_counts().head(3), values.dropna().unique()
    values.notna() & (values == values.iloc[0]), values.isin([values.iloc[0]]), values.mode()
    head[values == values.iloc[0]].sort_values(column), len(values), str(values.iloc[0])
numbers = head.select_dtypes("number").columns
texts = [column for column in head.columns if column not in numbers]
for column in numbers[:4]:
    values = head[column]
    values.mean(), values.median(), values.std(), values.sum(), values.min(), values.max()
    values.fillna(0).astype(float).round(2).quantile([0.25, 0.75]), float(values.mean())
    head[values > values.mean()], head.nlargest(3, column), head.sort_values(column).tail(3)
    for by in texts[:3]:
        means = head.groupby(by)[column].mean().sort_values(ascending=False)
        str(means.head(3)), means.index[0], means.round(2).to_dict(), means.reset_index()
        head.groupby(by)[column].agg(["count", "mean"]), head.groupby(by).size().max()
        means.max(), means.idxmax()
for column in texts[:3]:
    head[column].astype(str).str.lower().str.contains("a").sum()
str(head), str(head.describe(include="all")), head.shape, head.dtypes.to_dict(), head.copy()
head[numbers].corr(), head.loc[head.index[:2], head.columns[:2]], head.merge(head.head(2))
"""


def read_tables(tables: dict[str, dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Read each ``{"path": ..., "reading": ...}`` as ``datagen.tables.table.read_table`` does, and raises."""
    from datagen.episode import Reading
    from datagen.tables.table import read_table

    return {
        name: read_table(
            Path(table["path"]), table["reading"] and Reading.model_validate(table["reading"])
        )
        for name, table in tables.items()
    }


def warm_tables(tables: dict[str, pd.DataFrame]) -> None:
    """Make pandas load and compile what it does at first use."""
    work = compile(_WORK, "<warm-up>", "exec")
    for _ in range(_ROUNDS):
        for table in tables.values():
            with contextlib.suppress(Exception):  # an odd table is the cells' business
                exec(work, {"head": table.iloc[:_ROWS, :_COLUMNS]})  # noqa: S102 - our own text, above


def warm_cells(cells: Cells) -> Cells:
    """Run what runs around every cell, then keep the collector off all that was made."""
    for _ in range(_ROUNDS):
        for code in ("print(df.head(2))\nhook(len(df), 'n')\nsubmit(1.5)", "1 / 0"):
            json.dumps(cells.run(code))
    freeze()
    return cells


def import_scipy() -> None:
    """Load the statistics: half a second and 60 MB, so not before a cell names them."""
    with contextlib.suppress(ImportError):  # then the cell's import fails and reports it
        import scipy.stats  # noqa: F401
    freeze()


def freeze() -> None:
    """Keep the collector from writing into what children share with the server."""
    gc.collect()
    gc.freeze()
