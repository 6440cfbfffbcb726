"""Questions from all sources, with their progress on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from datagen.progress import Progress
from datagen.questions.sources import Batch, FamilySet, SourceName, gather, table_sets

if TYPE_CHECKING:
    from datagen.tables.table import TableProfile


def gather_with_progress(
    profiles: Sequence[TableProfile],
    *,
    count: int,
    seed: int,
    source: SourceName,
    families: FamilySet,
) -> Iterator[Batch]:
    """As `gather`, about each of `table_sets`; shows how many questions are made, of how many, and the time left."""
    sets, made = table_sets(profiles, families), Counter[str]()
    with (
        Progress("making questions", count * len(sets)) as progress,
        progress.following(made.total),
    ):
        for batch in gather(
            sets, count=count, seed=seed, source=source, families=families, made=made
        ):
            progress.expect_fewer(batch.short)
            yield batch
