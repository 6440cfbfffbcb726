"""Every source of questions with a known answer, asked about tables one by one and in joinable pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from datagen.questions import basic, template
from datagen.questions.joining import joinable

if TYPE_CHECKING:
    from datagen.episode import Question
    from datagen.questions.records import Family
    from datagen.tables.table import TableProfile

SourceName = Literal["template", "procedural", "all"]
FamilySet = Literal["basic", "all"] | tuple["Family", ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Questions of one source about one set of tables, the first of which is `df`.

    `dropped` counts by family and reason what was not asked; `disagreements` show where truth and
    solution differ.
    """

    source: str
    tables: list[TableProfile]
    questions: list[Question]
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def gather(
    profiles: Sequence[TableProfile],
    *,
    count: int,
    seed: int,
    source: SourceName = "all",
    families: FamilySet = "all",
) -> Iterator[Batch]:
    """Up to `count` questions a table, and as many for every two tables that can be joined.

    From all sources, half are templates. `families` "basic" asks the demo's short questions about
    single tables and nothing else, and a tuple asks those families and nothing else.
    Raises what opening a Sandbox raises.
    """
    if families == "basic":
        for profile in profiles:
            asked = basic.ask(profile, count=count, seed=seed)
            yield Batch(source="template", tables=[profile], questions=asked)
        return
    for tables in [*([profile] for profile in profiles), *map(list, joinable(profiles))]:
        left = count
        if isinstance(families, tuple):
            yield _templates(tables, count=count, seed=seed, families=families)
            continue
        if source != "procedural":
            half = left if source == "template" else -(-left // 2)
            batch = _templates(tables, count=half, seed=seed)
            left -= len(batch.questions)
            yield batch
        if source != "template":
            yield _programs(tables, count=left, seed=seed)


def _templates(
    tables: list[TableProfile], *, count: int, seed: int, families: Sequence[Family] | None = None
) -> Batch:
    tally = template.Tally()
    asked = template.ask(tables, count=count, seed=seed, families=families, tally=tally)
    return Batch(
        source="template",
        tables=tables,
        questions=asked.questions,
        dropped=tally.dropped,
        disagreements=tally.disagreements,
    )


def _programs(tables: list[TableProfile], *, count: int, seed: int) -> Batch:
    from datagen.questions import procedural

    tally = procedural.Tally()
    asked = procedural.ask(tables, count=count, seed=seed, tally=tally)
    return Batch(
        source="procedural",
        tables=tables,
        questions=asked.questions,
        dropped=Counter({("", reason): times for reason, times in tally.dropped.items()}),
        disagreements=tally.disagreements,
    )
