"""Charts as HTML around inline SVG: no library, no script, as wide as the page and as high as its style sets.

The SVG is stretched to its box (0 to 100 in both directions, y downwards); its strokes are not. Numbers stand
beside it as text, so that they have the same size on every screen. A point is a line of no length with round ends.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

POINTS = 400  # of a line; with more, the lowest and the highest of each stretch are drawn
CROWDED = 40  # rows above which points are small


class Line(NamedTuple):
    """A curve; ``kind`` is its colour: base, adapter or other. ``y`` is None where it is unknown."""

    name: str
    kind: str
    x: Sequence[float]
    y: Sequence[float | None]
    points: bool = False


def curves(title: str, lines: Sequence[Line], *, x: str = "step", log: bool = False) -> Any:
    """Draw lines over one x axis, from zero or on a logarithmic axis."""
    known = [y for line in lines for y in line.y if y is not None]
    axis = _Axis(known, log=log)
    first, last = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
    width = (last - first) or 1
    drawn = []
    for line in lines:
        at = [(100 * (a - first) / width, b) for a, b in _thinned(line.x, line.y)]
        drawn.append(_path(f"line {line.kind}", _strokes(at, axis)))
        if line.points or len(at) == 1:
            dots = (f"M{a:.2f} {axis.at(b):.2f}h0" for a, b in at if b is not None)
            drawn.append(_path(f"dot {line.kind}", dots))
    about = "; ".join(
        f"{line.name or title}: {_number(ys[0])} at {x} {_number(line.x[0])}, "
        f"{_number(ys[-1])} at {x} {_number(line.x[-1])}"
        for line in lines
        if (ys := [y for y in line.y if y is not None])
    )
    keys = [(line.kind, line.name) for line in lines if line.name]
    ends = (_number(first), x, _number(last))
    return _figure(title, keys, axis, "".join(drawn), ends, about)


def columns(title: str, bars: Sequence[tuple[float, int]], *, x: str) -> Any:
    """Draw a histogram from (upper end of the bin, count)."""
    axis = _Axis([count for _, count in bars])
    step = 100 / len(bars)
    drawn = "".join(
        f'<rect class="adapter" x="{n * step:.2f}" width="{step * 0.9:.2f}" '
        f'y="{axis.at(count):.2f}" height="{100 - axis.at(count):.2f}"/>'
        for n, (_, count) in enumerate(bars)
    )
    about = ", ".join(f"{count:,} up to {_number(end)}" for end, count in bars if count)
    ends = (_number(bars[0][0]), x, _number(bars[-1][0]))
    return _figure(title, [], axis, drawn, ends, about)


def changes(title: str, rows: Sequence[tuple[float, float]], *, about: str) -> Any:
    """Draw (base, adapter) of each row as a line from one to the other, the highest base first."""
    rows = sorted(rows, reverse=True)
    axis = _Axis([value for row in rows for value in row])
    size = " small" if len(rows) > CROWDED else ""

    def at(n: int, value: float) -> str:
        return f"M{100 * (n + 0.5) / len(rows):.2f} {axis.at(value):.2f}"

    drawn = []
    for kind, lower in (("good", True), ("bad", False)):
        moved = (
            f"{at(n, old)}V{axis.at(new):.2f}"
            for n, (old, new) in enumerate(rows)
            if (new < old) == lower
        )
        drawn.append(_path(f"line {kind}", moved))
    for side, kind in enumerate(("base", "adapter")):
        dots = (f"{at(n, row[side])}h0" for n, row in enumerate(rows))
        drawn.append(_path(f"dot {kind}{size}", dots))
    keys = [("base", "base"), ("adapter", "adapter")]
    ends = ("", f"one line for each of {len(rows):,} held-out rows", "")
    return _figure(title, keys, axis, "".join(drawn), ends, about, tall=True)


def bars(shares: Sequence[tuple[str, float, Sequence[float] | None]]) -> Any:
    """Draw (kind, share from 0 to 1, interval of it if known) as bars below each other."""
    from markupsafe import Markup

    drawn, words, height = [], [], 12 * len(shares)
    for n, (kind, share, interval) in enumerate(shares):
        y = 12 * n + 1
        drawn.append(f'<rect class="{kind}" x="0" y="{y}" width="{100 * share:.2f}" height="10"/>')
        words.append(f"{kind} {share:.0%}")
        if interval is not None:
            low, high = interval
            drawn.append(f'<path class="interval" d="M{100 * low:.2f} {y + 5}H{100 * high:.2f}"/>')
            words[-1] += f", 95% interval {low:.0%} to {high:.0%}"
    return Markup(  # noqa: S704 - numbers and words of this module
        f'<svg class="bars n{len(shares)}" viewBox="0 0 100 {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="{"; ".join(words)}"><path class="grid" d="M0 0V{height}M50 0V{height}M100 0V{height}"/>'
        f"{''.join(drawn)}</svg>"
    )


class _Axis:
    """A y axis with round ticks at equal distances: ``ticks`` from the top, ``at`` in the SVG's measure."""

    def __init__(self, values: Iterable[float], *, log: bool = False) -> None:
        found = [*values] or [0.0]
        self._log = log
        if log:
            low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
            self.ticks = [10.0**n for n in range(max(high, low + 1), low - 1, -1)]
            self._low, self._high = float(low), float(max(high, low + 1))
            return
        top = max(*found, 0.0) or 1.0
        unit = 10.0 ** math.floor(math.log10(top / 4))
        step = next(n * unit for n in (1, 2, 2.5, 5, 10) if 4 * n * unit >= top)
        steps = math.ceil(round(top / step, 6))
        self.ticks = [n * step for n in range(steps, -1, -1)]
        self._low, self._high = 0.0, self.ticks[0]

    def at(self, value: float) -> float:
        scaled = math.log10(value) if self._log else value
        return 100 * (1 - (scaled - self._low) / (self._high - self._low))


def _thinned(x: Sequence[float], y: Sequence[float | None]) -> Sequence[tuple[float, float | None]]:
    points = [*zip(x, y, strict=True)]
    if len(points) <= POINTS:
        return points
    ends = [round(n * len(points) / (POINTS // 2)) for n in range(POINTS // 2 + 1)]
    kept = set[int]()
    for start, end in pairwise(ends):
        known = sorted(range(start, end), key=lambda n: (y[n] is not None, y[n] or 0.0))
        kept |= {known[0], known[-1]}
    return [points[n] for n in sorted(kept | {0, len(points) - 1})]


def _strokes(points: Iterable[tuple[float, float | None]], axis: _Axis) -> Iterator[str]:
    """Path commands; the line has a gap where the value is unknown."""
    pen = "M"
    for x, y in points:
        if y is not None:
            yield f"{pen}{x:.2f} {axis.at(y):.2f}"
        pen = "M" if y is None else "L"


def _path(kind: str, commands: Iterable[str]) -> str:
    return f'<path class="{kind}" d="{"".join(commands)}"/>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def _figure(
    title: str,
    keys: Sequence[tuple[str, str]],
    axis: _Axis,
    drawn: str,
    ends: Sequence[str],
    about: str,
    *,
    tall: bool = False,
) -> Any:
    from markupsafe import Markup

    figure = Markup(
        '<figure class="chart{}"><figcaption>{}{}</figcaption><div class="plot"><div class="ys" aria-hidden="true">{}'
        '</div><svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg></div>'
        '<div class="xs" aria-hidden="true">{}</div></figure>'
    )
    key, tick = Markup(' <span class="key {}">{}</span>'), Markup("<span>{}</span>")
    lines = "".join(f"M0 {100 * n / (len(axis.ticks) - 1):.2f}H100" for n in range(len(axis.ticks)))
    return figure.format(
        " tall" if tall else "",
        title,
        Markup().join(key.format(kind, name) for kind, name in keys),
        Markup().join(tick.format(_number(value)) for value in axis.ticks),
        f"{title}. {about}",
        Markup(_path("grid", [lines]) + drawn),  # noqa: S704 - numbers and words of this module
        Markup().join(tick.format(text) for text in ends),
    )
