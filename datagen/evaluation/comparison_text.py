"""A comparison, or one model's result, as lines of text; the verdict is the last line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datagen.evaluation.conclusion import GROUPS
from datagen.evaluation.score import CEILING, PROBES

HEADINGS = ("base", "adapter")
NAME_WIDTH = 28


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the text of a comparison or of one model's result, with ceiling, floor and probe."""
    *before, last = comparison_lines(found) if "names" in found else model_lines(found)
    return [*before, *_probe_lines(found), last]


def comparison_lines(found: Mapping[str, Any], heads: tuple[str, str] = HEADINGS) -> list[str]:
    """Return the text of a comparison; `heads` are the headings of the two models' columns."""
    lines = [f"{'':{NAME_WIDTH}}{'n':>5}{heads[0]:>9}{heads[1]:>9}{'difference':>12}"]
    for group in _groups(found):
        lines += [_line(name, row) for name, row in group.items()] + [""]
    lines.append(_line("all", found))
    lines.append(
        f"wins {found['wins']}, losses {found['losses']}, exact McNemar p = {found['mcnemar_p']:.2g}"
    )
    if found["low"] is not None:
        lines.append(f"95% interval {found['low']:+.3f} to {found['high']:+.3f}")
    for head, name in zip(heads, ("base", "adapter"), strict=True):
        low, high = found["intervals"][name]
        lines.append(f"{head}: {found[name]:.3f}, 95% interval {low:.3f} to {high:.3f} (Wilson)")
    shown = (
        f"a difference of {found['smallest']:.2f} or more"
        if found["smallest"] < 1
        else "no difference of any size"
    )
    lines.append(
        f"{found['ties']} ties; {found['n']} questions over {found['clusters']} tables can show {shown}"
    )
    for head, name in zip(heads, ("base", "adapter"), strict=True):
        lines += _effort(head, found["effort"][name])
    lines += _samples(found, heads)
    return [*lines, *_noted(found), found["verdict"]]


def model_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the text of one model's result."""
    lines = [f"{'':{NAME_WIDTH}}{'n':>5}{'accuracy':>10}"]
    for group in _groups(found):
        lines += [_share(name, row) for name, row in group.items()] + [""]
    lines.append(_share("all", found))
    low, high = found["interval"]
    lines.append(f"95% interval {low:.3f} to {high:.3f} (Wilson)")
    if found["low"] is not None:
        lines.append(
            f"95% interval {found['low']:.3f} to {found['high']:.3f} (bootstrap over tables)"
        )
    lines += _effort("the model", found["effort"])
    if sampled := found.get("samples"):
        lines.append(_pass_line("the model", sampled, sampled["k"]))
    lines += _noted(found)
    return [*lines, f"{found['model']}: {found['right']} of {found['n']} right"]


def _groups(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """By family and by table, and by each other group with more than one value."""
    for heading in GROUPS:
        if heading in ("families", "tables") or len(found[heading]) > 1:
            yield found[heading]


def _probe_lines(found: Mapping[str, Any]) -> list[str]:
    """Ceiling, floor and probe."""
    told = []
    if CEILING in found:
        row = found[CEILING]
        cost = f", ${row['effort']['cost']:.4f}" if row["effort"]["cost"] else ""
        told.append(f"ceiling: {row['model']} {row['accuracy']:.3f} of {row['n']}{cost}")
    for probe, what in PROBES.items():
        sides = [(label, row) for label, row in found.get(probe, {}).items() if row["n"]]
        said = [
            f"{label} {row['accuracy']:.3f} ({row['plain']:.3f} on the original tables)"
            for label, row in sides
        ]
        if said:
            told.append(f"{probe} ({what}), {sides[0][1]['n']} questions: {', '.join(said)}")
    return told


def _effort(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    recovered = row["recovered"]
    repaired = (
        "" if recovered is None else f", recovered {recovered:.2f} (right after a failed turn)"
    )
    price = row["cost_per_correct"]
    paid = "" if not row["cost"] else f"; ${row['cost']:.4f} in all"
    paid += "" if not price else f" (${price:.4f} per right answer)"
    yield (
        f"{name}: submitted {row['submitted']:.2f} (gave an answer){repaired}; per question "
        f"{row['turns']:.1f} turns, {row['prompt_tokens']:.0f} tokens read, "
        f"{row['completion_tokens']:.0f} tokens written, {row['seconds']:.1f} s{paid}"
    )


def _samples(found: Mapping[str, Any], heads: tuple[str, str]) -> Iterator[str]:
    sampled = found.get("samples")
    if sampled is None:
        return
    for head, name in zip(heads, ("base", "adapter"), strict=True):
        yield _pass_line(head, sampled[name], sampled["k"])
    change = f"pass@1 difference {sampled['difference']:+.3f}"
    if sampled["low"] is not None:
        change += f", 95% interval {sampled['low']:+.3f} to {sampled['high']:+.3f}"
    yield change


def _pass_line(name: str, row: Mapping[str, Any], k: int) -> str:
    return f"{name}: pass@1 {row['pass_at_1']:.3f}, pass@{k} {row['pass_at_k']:.3f}"


def _noted(found: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"note: {note}" for note in found["notes"])


def _line(name: str, row: Mapping[str, Any]) -> str:
    figures = f"{row['base']:>9.3f}{row['adapter']:>9.3f}{row['difference']:>+12.3f}"
    return f"{name:{NAME_WIDTH}}{row['n']:>5}{figures}"


def _share(name: str, row: Mapping[str, Any]) -> str:
    return f"{name:{NAME_WIDTH}}{row['n']:>5}{row['accuracy']:>10.3f}"
