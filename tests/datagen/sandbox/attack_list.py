"""Reads attacks.txt, and writes the table of README.md from it.

A section names a kind of attack and what would show that it got through; each attack, what is expected
of it at the levels reduced and none (and full, where that is not "stopped"): stopped, through, or
depends, on the user and on the kernel's settings.
"""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from textwrap import dedent

from datagen.sandbox.messages import LEVELS, Level

FILE = Path(__file__).with_name("attacks.txt")
MARKS = {"stopped": "stopped", "through": "**through**", "depends": "it depends"}


@dataclass(frozen=True, kw_only=True)
class Attack:
    kind: str
    outcome: str
    name: str
    code: str
    at: dict[Level, str]

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.name}"


def attacks() -> list[Attack]:
    found: list[Attack] = []
    kind = outcome = name = ""
    levels: list[str] = []
    code: list[str] = []
    for line in [*FILE.read_text("utf-8").splitlines(), "."]:
        if line.startswith("    "):
            code.append(line)
            continue
        if code:
            verdicts = [levels[2] if len(levels) > 2 else "stopped", *levels[:2]]
            at = dict(zip(LEVELS, verdicts, strict=True))
            text = dedent("\n".join(code))
            found.append(Attack(kind=kind, outcome=outcome, name=name, code=text, at=at))
            code = []
        if line.startswith("# "):
            kind, outcome = line.removeprefix("# ").split(": ")
        elif line:
            name, *levels = line.split(" | ")
    return found


def table(found: list[Attack]) -> str:
    """What README.md shows."""
    lines = ["| attack | full | reduced | none |", "| --- | --- | --- | --- |"]
    for kind, group in groupby(found, key=lambda attack: attack.kind):
        some = [*group]
        stopped = [sum(a.at[level] == "stopped" for a in some) for level in LEVELS]
        counts = " | ".join(f"**{count} of {len(some)}**" for count in stopped)
        lines.append(f"| **{kind}** | {counts} |")
        for attack in some:
            marks = " | ".join(MARKS[attack.at[level]] for level in LEVELS)
            lines.append(f"| {attack.name} | {marks} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(attacks()))
