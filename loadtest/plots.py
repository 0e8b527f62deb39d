"""Draws the plots of a load report as self-contained SVG. Must not compute what it draws, nor reach for the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 42

# Colours work on white and on near-black; the page and a standalone file share them.
STYLE = """
svg { font: 12px system-ui, sans-serif;
  --ink: #1f2430; --soft: #68707f; --grid: #e3e6ec; --surge: #f5a52422; --paper: #ffffff;
  --c0: #1565c0; --c1: #c2410c; --c2: #9aa3b2; --c3: #0f8a5f; }
@media (prefers-color-scheme: dark) { svg {
  --ink: #e7eaf0; --soft: #98a1b2; --grid: #2a303b; --surge: #f5a52426; --paper: #14171d;
  --c0: #6cb2ff; --c1: #ff9a66; --c2: #667083; --c3: #4fd1a1; } }
.paper { fill: var(--paper); } .grid { stroke: var(--grid); }
.tick { fill: var(--soft); } .title { fill: var(--ink); font-weight: 600; }
.surge { fill: var(--surge); } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); stroke-width: .9; }
.limit { fill: none; stroke: var(--c1); stroke-dasharray: 5 4; } .area { fill: var(--c2); opacity: .28; }
"""

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: its legend, its colour class, its points in order of x; a y of None breaks it."""

    label: str
    colour: str
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values onto pixels; a log axis places powers of ten evenly."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (log10(x) for x in (self.low, self.high, max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9) + 1)
            return [10.0**power for power in powers]
        step = 10 ** floor(log10((self.high - self.low) / 4))
        step = next(step * factor for factor in (1, 2, 5, 10) if (self.high - self.low) / (step * factor) <= 12)
        first = ceil(self.low / step)
        return [number * step for number in range(first, floor(self.high / step + 1e-9) + 1)]


def latency_text(value_us: float) -> str:
    """12 us, 1.5 ms, 2 s: three digits at most."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if value_us >= size:
            return f"{value_us / size:.3g} {unit}"
    return f"{value_us:.3g} µs"


def _log_axis(lines: Sequence[Line], start: float, end: float, always: Sequence[float] = ()) -> Axis:
    values = [y for line in lines for _, y in line.points if y is not None and y > 0] + list(always)
    low, high = (min(values), max(values)) if values else (1.0, 1000.0)
    low, high = 10 ** floor(log10(low)), 10 ** ceil(log10(high) + 1e-9)
    return Axis(low, high if high > low else low * 10, start, end, log=True)


def _path(line: Line, x: Axis, y: Axis) -> str:
    commands, pen = [], "M"
    for across, up in line.points:
        if up is None:
            pen = "M"
            continue
        commands.append(f"{pen}{x.at(across)} {y.at(up)}")
        pen = "L"
    return f'<path class="line {line.colour}" d="{"".join(commands)}"/>'


def _legend(lines: Sequence[Line], title: str) -> str:
    parts, across = [f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>'], WIDTH - RIGHT
    for line in reversed(lines):
        across -= 7 * len(line.label) + 34
        parts.append(
            f'<path class="line {line.colour}" d="M{across} 14h18"/>'
            f'<text class="tick" x="{across + 23}" y="18">{escape(line.label)}</text>'
        )
    return "".join(parts)


def _frame(title: str, lines: Sequence[Line], body: Sequence[str], height: int = HEIGHT) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>{_legend(lines, title)}{"".join(body)}</svg>'
    )


def _y_grid(y: Axis, text: str | None = None) -> list[str]:
    rows = []
    for value in y.ticks():
        label = latency_text(value) if text is None else f"{value:,.0f}{text}"
        rows.append(
            f'<path class="grid" d="M{LEFT} {y.at(value)}H{WIDTH - RIGHT}"/>'
            f'<text class="tick" text-anchor="end" x="{LEFT - 8}" y="{y.at(value) + 4}">{label}</text>'
        )
    return rows


def plot_over_time(
    title: str,
    lines: Sequence[Line],
    rates: Sequence[tuple[float, float]],
    duration_s: float,
    surges: Sequence[tuple[float, float]],
    limit_us: float | None = None,
) -> str:
    """Latency (log) over the run, surges shaded, and a strip of the planned rate (requests/s) beneath.

    rates: (second, planned requests/s); surges: (start s, end s); limit_us: a dashed line where the objective lies.
    """
    strip_top, strip_end = HEIGHT + 4, HEIGHT + 74
    x = Axis(0, duration_s, LEFT, WIDTH - RIGHT)
    y = _log_axis(lines, HEIGHT - BOTTOM, TOP, [limit_us] if limit_us else [])
    highest = max((rate for _, rate in rates), default=1.0) or 1.0
    strip = Axis(0, highest, strip_end, strip_top)
    body = [
        f'<rect class="surge" x="{x.at(start)}" y="{TOP}" width="{max(x.at(end) - x.at(start), 1):.1f}" '
        f'height="{strip_end - TOP}"/>'
        for start, end in surges
    ]
    body += _y_grid(y)
    if limit_us:
        body.append(f'<path class="limit" d="M{LEFT} {y.at(limit_us)}H{WIDTH - RIGHT}"/>')
    body += [_path(line, x, y) for line in lines]
    edge = "".join(f"L{x.at(second)} {strip.at(rate)}" for second, rate in rates)
    last = x.at(rates[-1][0]) if rates else LEFT
    body.append(f'<path class="area" d="M{LEFT} {strip_end}{edge}L{last} {strip_end}Z"/>')
    body.append(
        f'<path class="grid" d="M{LEFT} {strip_end}H{WIDTH - RIGHT}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{strip_top + 8}" text-anchor="end">{highest:,.0f}/s</text>'
        f'<text class="tick" x="{LEFT - 8}" y="{strip_end}" text-anchor="end">planned</text>'
    )
    body += [
        f'<text class="tick" text-anchor="middle" x="{x.at(value)}" y="{strip_end + 18}">{value:g} s</text>'
        for value in x.ticks()
    ]
    return _frame(title, lines, body, strip_end + 28)


def plot_percentiles(title: str, lines: Sequence[Line], limit: tuple[float, float] | None = None) -> str:
    """Latency (log) by percentile, the axis stretched by 1/(1-p) so that each nine takes the same room.

    Points: (share below, latency us); limit: (share, us) of the objective, drawn as a cross-hair.
    """
    deepest = max((1 / (1 - share) for line in lines for share, _ in line.points if share < 1), default=10.0)
    x = Axis(1, max(deepest, 10), LEFT, WIDTH - RIGHT - 8, log=True)
    stretched = [
        Line(line.label, line.colour, [(1 / (1 - share), up) for share, up in line.points if share < 1])
        for line in lines
    ]
    y = _log_axis(stretched, HEIGHT - BOTTOM, TOP, [limit[1]] if limit else [])
    body = _y_grid(y)
    for nines in x.ticks():
        name = "p0" if nines == 1 else f"p{100 - 100 / nines:.6g}"
        body.append(
            f'<path class="grid" d="M{x.at(nines)} {TOP}V{HEIGHT - BOTTOM}"/>'
            f'<text class="tick" text-anchor="middle" x="{x.at(nines)}" y="{HEIGHT - BOTTOM + 18}">{name}</text>'
        )
    if limit:
        across = x.at(1 / (1 - limit[0]))
        body.append(f'<path class="limit" d="M{LEFT} {y.at(limit[1])}H{across}V{HEIGHT - BOTTOM}"/>')
    body += [_path(line, x, y) for line in stretched]
    return _frame(title, lines, body)


def standalone(svg: str) -> str:
    """The same plot as a file of its own, its colours inside."""
    return svg.replace('role="img"', f'role="img" width="{WIDTH}"', 1).replace(">", f"><style>{STYLE}</style>", 1)
