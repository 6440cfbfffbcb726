"""An invented file of episodes for benches: `python -m tests.bench.episode_file FILE COUNT`.

Tables, prompts, attempts and lengths follow a real run: 12 columns, prompts of 2,100 characters, one to three
turns; of the known questions a third needed further attempts, and a third of all was proposed and voted on.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from datagen.episode import (
    Column,
    Episode,
    Message,
    Provenance,
    Question,
    TableRef,
    Trace,
    Turn,
    Verdict,
    write_episodes,
)

TABLES = 500
ROWS = 200
WORDS = (
    "age fare price weight units income humidity score length rate yield stock visits votes".split()
)
KINDS = "weekly gross net daily first second mean total".split()
GROUPS = "city region carrier species team".split()
STATS = {"mean": "mean", "median": "median", "largest value": "max", "standard deviation": "std"}
RULES = (
    "You answer a question about data by writing Python that runs, step by step.\n\n"
    + "- Each reply holds exactly one block that starts with ```python and ends with ```.\n" * 12
)


def write(path: Path, count: int) -> None:
    """Write `count` episodes, and their tables to the folder `tables` beside them."""
    write_episodes(path, _episodes(path.parent / "tables", count))


def _episodes(folder: Path, count: int) -> Iterator[Episode]:
    rng = random.Random(0)
    tables = [_table(folder, number, rng) for number in range(min(TABLES, 4 + count // 10))]
    for number in range(count):
        pair = rng.random() < 0.05
        yield _episode(number, rng.sample(tables, 2) if pair else [rng.choice(tables)], rng)


def _table(folder: Path, number: int, rng: random.Random) -> TableRef:
    import hashlib

    names = [f"{kind}_{word}" for kind in KINDS for word in WORDS]
    numbers = rng.sample(names, 9)
    groups = rng.sample(GROUPS, 3)
    head = [*groups, *numbers]
    rows = [
        [rng.choice("Ulm Bonn Jena Paris Rome".split()) for _ in groups]
        + [f"{rng.gammavariate(2, 500):.2f}" for _ in numbers]
        for _ in range(ROWS)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"table{number}.csv"
    path.write_text("".join(",".join(row) + "\n" for row in [head, *rows]))
    return TableRef(
        name=path.stem,
        path=f"tables/{path.name}",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        rows=ROWS,
        columns=[
            *(Column(name=name, kind="text", distinct=5, top=["Ulm", "Bonn"]) for name in groups),
            *(
                Column(name=name, kind="number", distinct=199, low=0.2, high=4e3)
                for name in numbers
            ),
        ],
        head=rows[:4],
    )


def _episode(number: int, tables: list[TableRef], rng: random.Random) -> Episode:
    columns = [column.name for column in tables[0].columns]
    group, value, other = columns[0], rng.choice(columns[3:]), rng.choice(columns[3:])
    place, (word, method) = rng.choice("Ulm Bonn Jena".split()), rng.choice([*STATS.items()])
    limit = rng.randint(1, 40) * 25
    text = (
        f'Of the rows in which "{group}" is "{place}" and "{other}" is above {limit}, what is the {word} of'
        f' "{value}"? Give the answer with 2 decimals.'
    )
    code = (
        f'rows = df[(df["{group}"] == "{place}") & (df["{other}"] > {limit})]\n'
        f'answer = rows["{value}"].{method}()\nsubmit(round(float(answer), 2))'
    )
    known, truth = rng.random() < 2 / 3, round(rng.gammavariate(2, 500), 2)
    if known:
        right = [False] * (rng.random() < 1 / 3) + [rng.random() < 0.9]
    else:
        right = [True, *(rng.random() < 0.7 for _ in range(4))]
    opening = [
        Message(role="system", content=f"{RULES}\nTable {tables[0].name}: {tables[0].head}"),
        Message(role="user", content=f"Question: {text}"),
    ]
    traces = [
        _trace(opening, code, truth if good else truth + 1, rng).model_copy(
            update={"hinted": not (known or at), "agrees": good}
        )
        for at, good in enumerate(right)
    ]
    verified = any(right) if known else sum(right[1:]) > 2
    return Episode(
        id=f"{number:016x}",
        question=Question(
            id=f"{number:016x}", text=text, answer_type="number", decimals=2, family=f"filter_{method}",
            source="template" if known else "proposed", params={"x": value, "limit": limit},
            difficulty="medium", hint="I filter the rows first.", code=code if known else None,
            known=known, truth=truth if known or verified else None,
        ),
        tables=tables,
        traces=traces,
        verdict=Verdict(
            verified=verified, rule="number" if known else "majority", agreed=sum(right),
            attempts=len(right), category=None if verified else "wrong",
        ),
        provenance=Provenance(
            model="openai/gpt-oss-120b", prompt_sha256="28" * 32, sandbox_level="full", seed=0,
            versions={"python": "3.11.7", "pandas": "3.1.1", "numpy": "2.4.6"}, prompt="full",
            licence="apache-2.0", sampling={"temperature": 0.7},
        ),
    )  # fmt: skip


def _trace(opening: list[Message], code: str, answer: float, rng: random.Random) -> Trace:
    first, _, rest = code.partition("\n")
    name = rng.choice("rows found kept part".split())
    cells = [code.replace("rows", name)]
    if rng.random() < 0.4:
        cells = [
            f"{first.replace('rows', name)}\nprint({name}.describe())",
            rest.replace("rows", name),
        ]
    turns = [
        Turn(
            reply=f"{'I look at the rows that count, then at the column. ' * 4}\n\n```python\n{cell}\n```",
            code=cell, stdout="" if last else "count  24.0\nmean  812.4\nstd  77.1\n" * 6,
            submitted=last, answer=answer if last else None,
            feedback=None if last else "count  24.0\nmean  812.4\n" * 6,
        )
        for cell in cells
        for last in [cell is cells[-1]]
    ]  # fmt: skip
    return Trace(
        opening=opening, turns=turns, prompt_tokens=900, completion_tokens=rng.randint(80, 900),
        cost=rng.random() / 1000, seconds=rng.random() * 9, providers=[rng.choice(["a", "b"])],
    )  # fmt: skip


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
