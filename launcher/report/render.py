"""The facts of a run as one HTML file: styles, script, charts and transcripts inside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from launcher.report.facts import GROUPS, Facts

PAGE = Path(__file__).parent / "page"


def render(facts: Facts) -> str:
    """The page. Nothing from the run gets into it unescaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    pages = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    shown = charts(facts)

    def own(name: str) -> Markup:
        return Markup((PAGE / name).read_text("utf-8"))  # noqa: S704 - a file of this package

    return pages.get_template("report.html.j2").render(
        facts=facts,
        groups={k: title for k, title in GROUPS.items() if len(facts.comparison.get(k, {})) > 1},
        charts=[(title, id_) for title, id_, _ in shown],
        specs=_data({id_: spec for _, id_, spec in shown}),
        transcripts=_data([pair.facts for pair in facts.pairs]),
        style=own("report.css"),
        script=own("report.js"),
        plotly=Markup(get_plotlyjs()) if shown else "",  # noqa: S704 - the library's own script
    )


def _data(value: object) -> Any:
    """JSON that may stand inside a script element: no tag can open or close in it."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    safe = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(safe)  # noqa: S704 - escaped above


def charts(facts: Facts) -> list[tuple[str, str, dict[str, Any]]]:
    """(heading, element, plotly figure) for what there is to draw."""
    steps, found = facts.steps, []
    if steps:
        at = [step.step for step in steps]
        loss = [_line("training", at, [step.loss for step in steps])]
        if facts.evals:
            held = _line("held out", [e.step for e in facts.evals], [e.loss for e in facts.evals])
            loss.append({**held, "mode": "lines+markers"})
        wide = min(step.loss for step in steps) > 0
        wide &= max(step.loss for step in steps) > 20 * min(step.loss for step in steps)
        found = [
            ("Loss per trained token", "loss", _figure(loss, "step", log=wide)),
            (
                "Learning rate",
                "lr",
                _figure([_line("", at, [s.lr for s in steps])], "step", ticks=".1e"),
            ),
            (
                "Tokens per second",
                "rate",
                _figure(
                    [
                        _line("all", at, [s.tokens_per_second for s in steps]),
                        _line("trained", at, [s.trained_tokens_per_second for s in steps]),
                    ],
                    "step",
                ),
            ),
        ]
        shares = [
            _line(name, at, share)
            for name, share in (
                ("utilisation", facts.gpu_use),
                ("share of the peak rate (MFU)", facts.mfu),
            )
            if any(x is not None for x in share)
        ]
        if shares:
            found.append(("GPU, in percent", "card", _figure(shares, "step")))
    if facts.data is not None and facts.data.lengths:
        bars = {
            "type": "bar",
            "x": [length for length, _ in facts.data.lengths],
            "y": [rows for _, rows in facts.data.lengths],
        }
        found.append(("Rows by length, in tokens", "lengths", _figure([bars], "tokens, at most")))
    return found


def _line(name: str, x: list[int], y: Sequence[float | None]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": [*y]}


def _figure(
    data: list[dict[str, Any]], x: str, *, log: bool = False, ticks: str = ""
) -> dict[str, Any]:
    return {
        "data": data,
        "layout": {
            "height": 300,
            "margin": {"t": 30 if len(data) > 1 else 10, "r": 10, "l": 60, "b": 45},
            "xaxis": {"title": {"text": x}},
            "yaxis": {
                "type": "log" if log else "linear",
                "tickformat": ticks,
                "rangemode": "tozero",
            },
            "showlegend": len(data) > 1,
            "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        },
    }
