"""The facts of a run as one HTML file: styles, script, charts and transcripts inside it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from launcher.report import sentences
from launcher.report.charts import Line, bars, changes, columns, curves
from launcher.report.command import again
from launcher.report.facts import GROUPS, Facts
from launcher.report.failures import REASONS
from launcher.report.transcripts import WRONG_FIRST, examples

PAGE = Path(__file__).parent / "page"


def render(facts: Facts) -> str:
    """The page. Nothing from the run gets into it unescaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    pages = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    pairs = sorted(facts.pairs, key=lambda pair: WRONG_FIRST.index(pair.outcome))
    best, worst = examples(pairs)

    def own(name: str) -> Markup:
        return Markup((PAGE / name).read_text("utf-8"))  # noqa: S704 - a file of this package

    return pages.get_template("report.html.j2").render(
        facts=facts,
        say=sentences,
        command=again(facts.run, facts.summary),
        groups={k: title for k, title in GROUPS.items() if len(facts.comparison.get(k, {})) > 1},
        scores=_scores,
        changes=_changes(facts),
        reasons=_reasons(facts),
        charts=charts(facts),
        examples=_data({"best": best, "worst": worst}),
        transcripts=_data([pair.facts for pair in pairs]),
        style=own("report.css"),
        script=own("report.js"),
    )


def _data(value: object) -> Any:
    """JSON that may stand inside a script element: no tag can open or close in it."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(safe)  # noqa: S704 - escaped above


def _scores(row: dict[str, Any]) -> Any:
    """The shares of right answers of base and adapter as bars, with intervals where they were measured."""
    intervals = row.get("intervals", {})
    return bars([(side, row[side], intervals.get(side)) for side in ("base", "adapter")])


def _changes(facts: Facts) -> Any:
    """The loss of each held-out row as a picture; None if unknown."""
    found = facts.held_out
    if found is None or not found.rows:
        return None
    title = "Loss of each held-out row, base to adapter, in nats per token of the answers"
    return changes(title, [row.losses for row in found.rows], about=sentences.held_out(facts))


def _reasons(facts: Facts) -> list[tuple[str, str, list[tuple[int, Any]]]]:
    """(reason, its explanation, for base and adapter how many answers and the bar of it)."""
    sides = ("base", "adapter")
    counts = {side: Counter(pair.facts[side]["reason"] for pair in facts.pairs) for side in sides}

    def counted(side: str, name: str) -> tuple[int, Any]:
        n = counts[side][name]
        return n, bars([(side, n / len(facts.pairs), None)])

    return [
        (name, about, [counted(side, name) for side in sides])
        for name, about in (("", "right"), *REASONS.items())
        if any(counts[side][name] for side in sides)
    ]


def charts(facts: Facts) -> list[Any]:
    """The charts of a training, for what there is to draw."""
    steps, found = facts.steps, []
    if steps:
        at = [step.step for step in steps]
        loss = [Line("training", "other", at, [step.loss for step in steps])]
        if held := facts.evals:
            loss.append(
                Line("held out", "adapter", [e.step for e in held], [e.loss for e in held], True)
            )
        low, high = (limit(step.loss for step in steps) for limit in (min, max))
        log = low > 0 and high > 20 * low and all(e.loss > 0 for e in facts.evals)
        rates = [
            Line("all", "other", at, [s.tokens_per_second for s in steps]),
            Line("trained", "adapter", at, [s.trained_tokens_per_second for s in steps]),
        ]
        found = [
            curves("Loss per trained token", loss, log=log),
            curves("Learning rate", [Line("", "adapter", at, [s.lr for s in steps])]),
            curves("Tokens per second", rates),
        ]
        shares = [
            Line(name, kind, at, share)
            for name, kind, share in (
                ("utilisation", "other", facts.gpu_use),
                ("share of the peak rate (MFU)", "adapter", facts.mfu),
            )
            if any(x is not None for x in share)
        ]
        if shares:
            found.append(curves("GPU, in percent", shares))
    if facts.data is not None and facts.data.lengths:
        found.append(columns("Rows by length", facts.data.lengths, x="tokens, at most"))
    return found
