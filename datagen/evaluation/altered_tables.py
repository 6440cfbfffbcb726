"""The same questions made harder, to see what right answers rest on: tables emptied, or columns renamed.

Without data only guesses can be right: what is right there was a shortcut. With other column names and
rows, a table that the model has memorised no longer helps it.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, product
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from datagen.episode import Column, Question, Reading, TableRef
from datagen.episodes.run_questions import table_ref
from datagen.judge.answer_types import kind_of
from datagen.judge.compare import judge
from datagen.judge.truth_form import as_truth
from datagen.sandbox.server_pool import server_key, start_sandbox
from datagen.tables.records import records
from datagen.tables.table import profile_table
from trainer.contract.manifest import hash_file

if TYPE_CHECKING:
    from datagen.episodes.attempts import Task
    from datagen.sandbox import Sandbox

SHARE_OF_ROWS = 0.75
"""The share of a table's rows that are drawn."""


def with_empty_tables(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """The tasks over tables that have their columns and one row with nothing in it, in `folder`.

    No reader takes a table without rows. Prompts show names and kinds of the columns, nothing of what
    was in them.
    """
    made: dict[str, TableRef] = {}
    found = []
    for task in tasks:
        for table in task.tables:
            if table.sha256 not in made:
                made[table.sha256] = _empty(table, folder)
        tables = [made[table.sha256] for table in task.tables]
        found.append(replace(task, tables=tables, paths=[folder / table.path for table in tables]))
    return found


def _empty(table: TableRef, folder: Path) -> TableRef:
    path = folder / f"{table.name}-{table.sha256[:12]}.csv"
    names = [column.name for column in table.columns]
    reading = Reading(kinds=table.reading.kinds, formats=table.reading.formats)
    _write(path, reading, [names, [""] * len(names)])
    return TableRef(
        name=table.name,
        path=path.name,
        sha256=hash_file(path).sha256,
        rows=1,
        columns=[Column(name=column.name, kind=column.kind) for column in table.columns],
        reading=reading,
    )


def with_renamed_columns(tasks: Sequence[Task], folder: Path, *, seed: int) -> list[Task]:
    """The tasks with their columns renamed, in texts, solutions and truths, over tables in `folder`.

    Where a question has a solution, three rows of four are drawn and the truth is computed again in the
    sandbox. Left out are questions that do not quote every column they are about, because they could not
    be answered then, and those whose solution does not come to the old truth on the renamed table.
    """
    by_tables: dict[tuple[Path, ...], list[Task]] = {}
    for task in tasks:
        by_tables.setdefault(server_key(task), []).append(task)
    found = {}
    for together in by_tables.values():
        names = new_names(together[0].tables)
        whole, drawn = (
            [
                _renamed_table(table, path, folder / part, names, draw)
                for table, path, draw in zip(
                    together[0].tables, together[0].paths, draws, strict=True
                )
            ]
            for part, draws in (
                ("whole", [None] * len(together[0].paths)),
                ("drawn", [random.Random(seed), *[None] * (len(together[0].paths) - 1)]),
            )
        )
        old = replace(together[0], tables=whole, paths=[folder / "whole" / t.path for t in whole])
        new = replace(together[0], tables=drawn, paths=[folder / "drawn" / t.path for t in drawn])
        with start_sandbox(old) as before, start_sandbox(new) as after:
            for task in together:
                if (question := _renamed_question(task.question, names)) is None:
                    continue
                if question.code is None:
                    found[task.question.id] = replace(
                        task, question=question, tables=old.tables, paths=old.paths
                    )
                elif (truth := _new_truth(question, before, after)) is not None:
                    found[task.question.id] = replace(
                        task,
                        question=question.model_copy(update={"truth": truth}),
                        tables=new.tables,
                        paths=new.paths,
                    )
    return [found[task.question.id] for task in tasks if task.question.id in found]


def new_names(tables: Sequence[TableRef]) -> dict[str, str]:
    """column_a, column_b, ... for every column; one name for columns of one name, as keys are."""
    old = dict.fromkeys(column.name for table in tables for column in table.columns)
    letters = (found for length in count(1) for found in product(ascii_lowercase, repeat=length))
    return {name: "column_" + "".join(found) for name, found in zip(old, letters, strict=False)}


def _renamed_table(
    table: TableRef, path: Path, folder: Path, names: Mapping[str, str], draw: random.Random | None
) -> TableRef:
    reading = table.reading.model_copy(
        update={
            field: {names.get(name, name): x for name, x in getattr(table.reading, field).items()}
            for field in ("sentinels", "decimals", "kinds", "formats", "units")
        }
    )
    rows = [*records(path, reading)]
    if draw is not None:
        kept = sorted(draw.sample(range(len(rows)), max(1, round(SHARE_OF_ROWS * len(rows)))))
        rows = [rows[at] for at in kept]
    place = folder / f"{table.name}-{table.sha256[:12]}.csv"
    reading = reading.model_copy(update={"header": True, "skip_lines": 0})
    _write(place, reading, [[names[column.name] for column in table.columns], *rows])
    made = table_ref(profile_table(place, reading), folder)
    return made.model_copy(update={"name": table.name})


def _write(path: Path, reading: Reading, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = reading.encoding.removesuffix("-sig")  # which reads a mark, and would write one
    with path.open("w", encoding=encoding, newline="") as file:
        # Quoted, because a line with nothing in its one column would be no line.
        writer = csv.writer(
            file, delimiter=reading.delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n"
        )
        writer.writerows(rows)


def _renamed_question(question: Question, names: Mapping[str, str]) -> Question | None:
    """None where the text does not quote what it is about."""
    quoted = {name for name in names if f'"{name}"' in question.text}
    if question.code is None:
        if not quoted:
            return None
    elif {name for name in names if re.search(_literal(name), question.code)} - quoted:
        return None
    text, code = question.text, question.code
    pattern = re.compile("|".join(_literal(name) for name in sorted(names, key=len, reverse=True)))

    def other(match: re.Match[str]) -> str:
        return match[0][0] + names[match[0][1:-1]] + match[0][-1]

    return question.model_copy(
        update={
            "text": pattern.sub(other, text),
            "code": None if code is None else pattern.sub(other, code),
            "hint": None,
            "truth": _renamed_truth(question.truth, names),
        }
    )


def _literal(name: str) -> str:
    return rf"\"{re.escape(name)}\"|'{re.escape(name)}'"


def _renamed_truth(truth: Any, names: Mapping[str, str]) -> Any:
    """A truth that names columns, in the new names."""
    if isinstance(truth, str):
        return names.get(truth, truth)
    if isinstance(truth, list):
        return [_renamed_truth(part, names) for part in truth]
    if isinstance(truth, dict):
        return {names.get(key, key): _renamed_truth(part, names) for key, part in truth.items()}
    return truth


def _new_truth(question: Question, before: Sandbox, after: Sandbox) -> Any:
    """The solution's answer on the drawn rows; None where it has none, or had not the old truth."""
    assert question.code is not None
    form = question.form
    try:
        if not judge(_run(before, question.code), question.truth, *form).correct:
            return None
        truth = as_truth(_run(after, question.code), *form)
    except ValueError:
        return None
    return None if kind_of(truth) == "missing" else truth


def _run(sandbox: Sandbox, code: str) -> Any:
    with sandbox.episode() as cells:
        result = cells.run(code)
    if not result.submitted:
        raise ValueError(result.stderr)
    return result.answer
