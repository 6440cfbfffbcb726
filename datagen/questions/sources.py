"""Every source of questions with a known answer, asked about tables one by one and in joinable pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from datagen.questions import basic, template
from datagen.questions.joining import joinable
from datagen.questions.solving import Solutions

if TYPE_CHECKING:
    from datagen.episode import Question
    from datagen.questions.records import Family
    from datagen.tables.table import TableProfile

SourceName = Literal["template", "procedural", "all"]
FamilySet = Literal["basic", "all"] | tuple["Family", ...]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Questions of one source about one set of tables, the first of which is `df`.

    `short` is how many questions these tables lack, after their last source. `dropped` counts by family
    and reason what was not asked; `disagreements` show where truth and solution differ.
    """

    source: str
    tables: list[TableProfile]
    questions: list[Question]
    short: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


def table_sets(
    profiles: Sequence[TableProfile], families: FamilySet = "all"
) -> list[list[TableProfile]]:
    """What questions are asked about: each table, and every two tables that can be joined."""
    pairs = () if families == "basic" else joinable(profiles)
    return [*([profile] for profile in profiles), *map(list, pairs)]


def gather(
    sets: Sequence[list[TableProfile]],
    *,
    count: int,
    seed: int,
    source: SourceName = "all",
    families: FamilySet = "all",
    made: Counter[str] | None = None,
) -> Iterator[Batch]:
    """Up to `count` questions about each of `table_sets`; counted in `made` as soon as they are made.

    From all sources, half are templates. `families` "basic" asks the demo's short questions about
    single tables and nothing else, and a tuple asks those families and nothing else.
    Raises what opening a Sandbox raises.
    """
    made = Counter() if made is None else made
    for tables in sets:
        if families == "basic":
            asked = basic.ask(tables[0], count=count, seed=seed)
            made["basic"] += len(asked)
            short = count - len(asked)
            yield Batch(source="template", tables=tables, questions=asked, short=short)
        elif isinstance(families, tuple):
            yield _templates(tables, count=count, seed=seed, families=families, made=made)
        elif source == "template":
            yield _templates(tables, count=count, seed=seed, made=made)
        else:
            left = count
            with Solutions(tables) as running:
                if source == "all":
                    half = -(-count // 2)
                    batch = _templates(tables, count=half, seed=seed, made=made, solutions=running)
                    left -= len(batch.questions)
                    yield replace(batch, short=0)  # the programs ask what is left
                yield _programs(tables, count=left, seed=seed, made=made, solutions=running)


def _templates(
    tables: list[TableProfile],
    *,
    count: int,
    seed: int,
    made: Counter[str],
    families: Sequence[Family] | None = None,
    solutions: Solutions | None = None,
) -> Batch:
    tally = template.Tally(made=made)
    asked = template.ask(
        tables, count=count, seed=seed, families=families, tally=tally, solutions=solutions
    )
    return Batch(
        source="template",
        tables=tables,
        questions=asked.questions,
        short=count - len(asked.questions),
        dropped=tally.dropped,
        disagreements=tally.disagreements,
    )


def _programs(
    tables: list[TableProfile],
    *,
    count: int,
    seed: int,
    made: Counter[str],
    solutions: Solutions,
) -> Batch:
    from datagen.questions.programs.source import ask

    tally = template.Tally(made=made)
    asked = ask(tables, count=count, seed=seed, tally=tally, solutions=solutions)
    return Batch(
        source="procedural",
        tables=tables,
        questions=asked.questions,
        short=count - len(asked.questions),
        dropped=tally.dropped,
        disagreements=tally.disagreements,
    )
