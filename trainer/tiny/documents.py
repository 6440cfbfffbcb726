"""The documents the tiny base model reads: chats answered in SQL, bare df snippets, copying drills.

Names and values are made here. None of them is in `held_out_names.txt`, which lists every name and
value of the demo's tables, so an answer about those tables is never recall. No document contains
`submit(`, and no chat is answered in pandas.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SYLLABLES = [
    c + v
    for c in "b c d f g h j k l m n p r s t v w x z ch sh st tr pl gr th".split()
    for v in "aeiou"
]
ENDINGS = ["", "", "n", "r", "l", "s", "t", "m", "ng", "ck", "ll", "rd", "st", "nd"]
WORDS = (
    "price cost score rate count total amount size length width height area volume speed time age "
    "rank level index ratio share score value balance budget target quota stock order item product "
    "client user account region city country state team group class kind brand store shop unit part "
    "code label title status phase stage result grade source method mode plan role rating review "
    "visit session click view load power energy heat force charge current signal noise error delay "
    "duration distance range limit base tax fee bonus salary income profit loss revenue margin sales "
    "price_usd min_temp max_load start_day end_day last_seen first_name birth_month page_views "
    "customer employee manager partner sample test trial batch run lot box room floor house street "
    "zone block station line track road bridge river lake hill park garden forest field farm animal "
    "bird fish tree plant flower fruit seed water air soil stone metal glass paper wood oil gas"
).split()
ENGLISH = (
    "the of and a to in is you that it he was for on are as with his they at be this have from or one had "
    "by word but not what all were we when your can said there use an each which she do how their if will "
    "up other about out many then them these so some her would make like him into has look two more write "
    "go see way could people my than first water been call who oil its now find long down did get come made "
    "may over new sound take only little work know place live me back give most very after thing our just "
    "name good sentence man think say great where help through much before line right too mean old any same "
    "tell boy follow came want show also around farm three small set put end does another well large must "
    "big even such because turn here why ask went men read need land different home us move try kind hand "
    "picture again change off play spell air away animal house point page letter mother answer found study "
    "still learn should world high every near add food between own below country plant last school father "
    "keep never start city earth eye light thought head under story saw left few while along might close "
    "something seem next hard open example begin life always those both paper together got group often run "
    "important until children side feet car mile night walk white sea began grow took river four carry state "
    "once book hear stop without second later miss idea enough eat face watch far really almost let above "
    "girl sometimes mountain cut young talk soon list song being leave family python pandas code table data "
    "column row query result number engine machine wing motor pilot winter summer storm cloud snow sunny "
    "male female north south type maker brand model serial production transport standard general national"
).split()
SUFFIXES = [
    "",
    "",
    "",
    "",
    "_id",
    "_kg",
    "_cm",
    "_mm",
    "_g",
    "_km",
    "_usd",
    "_pct",
    "_min",
    "_max",
    "_2",
    "_x",
]
TYPES_OF_NUMBER = ["integer", "number"]
AGGREGATES = {
    "mean": "AVG",
    "median": "MEDIAN",
    "largest": "MAX",
    "smallest": "MIN",
    "total": "SUM",
}
METHODS = {"mean": "mean", "median": "median", "largest": "max", "smallest": "min", "total": "sum"}
SYSTEMS = ["", "Answer with one SQL query.", "You write SQL.", "Reply with SQL only."]


@dataclass(frozen=True)
class Piece:
    """A stretch of a document and the weight of its tokens in the pre-training loss."""

    text: str
    weight: float


@dataclass(frozen=True)
class Chat:
    """One question and its SQL answer; `family` is a key of families.json."""

    system: str
    question: str
    answer: str
    family: str


def families() -> dict[str, dict[str, Any]]:
    """Wordings and SQL of each family the base model knows."""
    loaded: dict[str, dict[str, Any]] = json.loads((HERE / "families.json").read_text("utf-8"))
    return loaded


def held_out_names() -> frozenset[str]:
    """Every name and value that the base model must never see, in lower case."""
    return frozenset((HERE / "held_out_names.txt").read_text("utf-8").lower().splitlines())


class Documents:
    """An endless, seeded stream of documents. `held_out=True` draws names from a disjoint pool."""

    def __init__(self, seed: int, *, held_out: bool = False) -> None:
        self.rng = random.Random(seed)
        self.forbidden = held_out_names()
        self.families = families()
        self.held_out = held_out

    def _raw_name(self) -> str:
        rng = self.rng
        kind = rng.random()
        if kind < 0.45:
            parts = [
                "".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) + rng.choice(ENDINGS)
                for _ in range(rng.choice([1, 1, 2, 3]))
            ]
            return "_".join(parts)
        if kind < 0.75:
            return "_".join(
                "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 8)))
                for _ in range(rng.choice([1, 1, 2]))
            )
        pool = WORDS if rng.random() < 0.6 else ENGLISH
        return "_".join(rng.sample(pool, rng.choice([1, 2]))) + rng.choice(SUFFIXES)

    def _in_pool(self, text: str) -> bool:
        """One name in ten belongs to the held-out pool, by a hash of its letters."""
        belongs = sum(ord(c) * (i + 7) for i, c in enumerate(text.lower())) % 10 == 3
        return belongs == self.held_out

    def name(self) -> str:
        while True:
            name = self._raw_name()
            parts = name.split("_")
            if self._in_pool(name) and not self.forbidden.intersection([name, *parts]):
                return name

    def value(self) -> str:
        rng = self.rng
        while True:
            words = [self._raw_name().split("_")[0] for _ in range(rng.choice([1, 1, 1, 2, 3]))]
            style = rng.random()
            if style < 0.45:
                words = [w.capitalize() for w in words]
            elif style < 0.6:
                words = [w.upper() for w in words]
            if rng.random() < 0.12:
                words.append(f"{rng.randint(1, 999)}")
            text = rng.choice([" ", " ", "-"]).join(words)
            if self._in_pool(text) and not self.forbidden.intersection(
                [text.lower(), *text.lower().split()]
            ):
                return text

    def number(self) -> str:
        rng = self.rng
        size = rng.choice([10, 100, 1000, 10000])
        return str(rng.randrange(size)) if rng.random() < 0.5 else f"{rng.uniform(0, size):.1f}"

    def columns(self) -> list[tuple[str, str]]:
        """(name, type) pairs: at least one text column and two of numbers, in any order."""
        rng = self.rng
        kinds = ["text", *rng.choices(TYPES_OF_NUMBER, k=2)]
        kinds += rng.choices(
            ["text", "integer", "number", "date"], [4, 3, 3, 1], k=rng.randint(0, 5)
        )
        rng.shuffle(kinds)
        names: list[str] = []
        while len(names) < len(kinds):
            if (name := self.name()) not in names:
                names.append(name)
        return list(zip(names, kinds, strict=True))

    def chat(self) -> Chat:
        """A table's columns and a question about it, answered in SQL."""
        rng = self.rng
        columns = self.columns()
        text = [name for name, kind in columns if kind == "text"]
        numbers = [name for name, kind in columns if kind in TYPES_OF_NUMBER]
        family = rng.choice([*self.families])
        n, m = rng.sample(numbers, 2)
        agg, gagg = rng.choice([*AGGREGATES]), rng.choice(["mean", "total"])
        decimals = rng.choice([0, 2])
        agg_sql, spread = f'{AGGREGATES[agg]}("{n}")', f'MAX("{n}") - MIN("{n}")'
        slots = {
            "n": n, "m": m, "c": rng.choice(text), "v": self.value(), "t": self.number(),
            "agg": agg, "gagg": gagg, "GAGG": AGGREGATES[gagg],
            "AGG_n": f"ROUND({agg_sql}, 2)" if decimals else agg_sql,
            "SPREAD_n": f"ROUND({spread}, 2)" if decimals else spread,
            "p": " (2 decimals)" if decimals else "",
        }  # fmt: skip
        question = rng.choice(self.families[family]["wordings"]).format_map(slots)
        header = "\n".join(f"{name} {kind}" for name, kind in columns)
        return Chat(
            system=rng.choice(SYSTEMS),
            question=f"{self.name()}\n{header}\n{question}",
            answer=f"```sql\n{self.families[family]['sql'].format_map(slots)}\n```",
            family=family,
        )

    def snippets(self) -> list[Piece]:
        """Column names, then bare pandas expressions over them: text, never an answer."""
        rng = self.rng
        columns = self.columns()
        text = [name for name, kind in columns if kind == "text"]
        numbers = [name for name, kind in columns if kind in TYPES_OF_NUMBER]
        lines = []
        for _ in range(rng.randint(2, 4)):
            n, m = rng.sample(numbers, 2)
            c, v, t = rng.choice(text), self.value(), self.number()
            method = rng.choice([*METHODS.values()])
            lines.append(
                rng.choice([
                    f'df["{n}"].{method}()',
                    f'round(df["{n}"].{method}(), {rng.randint(1, 3)})',
                    f'df[df["{c}"] == "{v}"]["{n}"].{method}()',
                    f'df[df["{m}"] > {t}]["{n}"].{method}()',
                    f'len(df[df["{n}"] < {t}])',
                    f'len(df[(df["{c}"] == "{v}") & (df["{n}"] > {t})])',
                    f'df["{c}"].nunique()',
                    f'df["{n}"].isna().sum()',
                    f'df["{c}"].mode()[0]',
                    f'df.groupby("{c}")["{n}"].{rng.choice(["mean", "sum"])}().idxmax()',
                    f'(df["{c}"] == "{v}").mean()',
                    f'df["{n}"].max() - df["{n}"].min()',
                ])
            )  # fmt: skip
        header = "\n".join(f"{name} {kind}" for name, kind in columns)
        return [Piece(header + "\n", 0.1), Piece("\n".join(lines), 0.6)]

    def lookup(self) -> list[Piece]:
        """Key-value pairs, then the value of one key."""
        pairs = {self.name(): self.value() for _ in range(self.rng.randint(3, 7))}
        key = self.rng.choice([*pairs])
        listing = "\n".join(f"{k}: {v}" for k, v in pairs.items())
        return [Piece(f"{listing}\n{key}? ", 0.1), Piece(pairs[key], 1.0)]
