"""Lays a report out as one self-contained HTML page: tables, plots, nothing fetched. Must not compute figures."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from hdrh.histogram import HdrHistogram

from loadtest import plots
from loadtest.alerts import RuleCount, Scene
from loadtest.measure import Latency
from loadtest.report import Report

PAGE_STYLE = """
:root { color-scheme: light dark;
  --ink: #1f2430; --soft: #68707f; --paper: #ffffff; --line: #e3e6ec; --good: #0f8a5f; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e7eaf0; --soft: #98a1b2; --paper: #14171d; --line: #2a303b; --good: #4fd1a1;
  --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 28px 24px 60px; background: var(--paper); color: var(--ink);
  font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 16px; margin: 34px 0 8px; } p { margin: 4px 0; color: var(--soft); }
header { display: flex; align-items: center; gap: 14px; margin-bottom: 6px; }
.verdict { padding: 2px 12px; border-radius: 5px; color: var(--paper); font-weight: 700; background: var(--good); }
.verdict.FAIL { background: var(--bad); } .reasons { color: var(--bad); margin: 8px 0; padding-left: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: 10px; margin: 18px 0 8px; }
.tile { border: 1px solid var(--line); border-radius: 7px; padding: 9px 13px; }
.tile b { display: block; font-size: 18px; }
.tile span { color: var(--soft); font-size: 12px; }
.wide { overflow-x: auto; } svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
.told th, .told td { text-align: left; white-space: normal; vertical-align: top; }
"""


def render_page(report: Report) -> str:
    """The whole page of one report."""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    parts = [
        f'<header><h1>Load run</h1><span class="verdict {report.verdict}">{report.verdict}</span></header>',
        f"<p>{escape(_scenario(report))}</p>",
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        f'<ul class="reasons">{reasons}</ul>' if reasons else "",
        _tiles(report),
        f'<div class="wide">{over_time(report)}</div>',
        f'<div class="wide">{by_percentile(report)}</div>',
        "<h2>Seen from outside, counted from the planned send time</h2>",
        _latency_table(report.latencies),
        _section("Inside the gateway", report.gateway_stages),
        "<h2>Rejections</h2>",
        _reject_table(report),
        _rules_section(report),
        "<h2>The machine's own hiccups</h2>"
        "<p>How late a thread that only sleeps was woken on each core, while the run lasted.</p>",
        _hiccup_table(report),
        "<h2>Where every request ended</h2>",
        _count_table(report),
        f"<p>{escape(f'{report.machine.cores} cores, {report.machine.cpu}, Linux {report.machine.kernel}')}</p>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><link rel="icon" href="@E@"><title>Tidegate load run</title>'
        f"<style>{PAGE_STYLE}{plots.STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    ).replace("@E@", "data:,")


def write_page(report: Report, path: Path) -> None:
    """Write report.html."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(report), encoding="utf-8")


def write_svg(report: Report, path: Path) -> None:
    """Write the latency-over-time plot as a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plots.standalone(over_time(report)), encoding="utf-8")


def over_time(report: Report) -> str:
    """Order to exchange ack over the run (order to decision when no exchange answered)."""
    acked = report.find("order to exchange ack") is not None
    names = (
        ("ack_max_us", "ack_p99_us", "ack_p50_us")
        if acked
        else ("decision_max_us", "decision_p99_us", "decision_p50_us")
    )
    points = {name: [(window.start_s + 0.05, getattr(window, name)) for window in report.windows] for name in names}
    lines = []
    worst = [
        max((late for late in instant if late is not None), default=None)
        for instant in zip(*(row.worst_by_window_us for row in report.hiccups), strict=False)
    ]
    if worst:
        lines.append(plots.Line("machine hiccup", "c3", [(at / 10 + 0.05, late) for at, late in enumerate(worst)]))
    lines += [
        plots.Line(label, colour, points[name])
        for label, colour, name in zip(("max", "p99", "p50"), ("c2", "c1", "c0"), names, strict=True)
    ]
    rates = [(window.start_s + 0.05, window.planned * 10.0) for window in report.windows]
    title = f"Order to {'exchange ack' if acked else 'decision'} over time, per 100 ms"
    surges = [(surge.start_s, surge.start_s + surge.duration_s) for surge in report.surges]
    return plots.plot_over_time(title, lines, rates, report.duration_s, surges, _limit_us(report, acked))


def by_percentile(report: Report) -> str:
    """Decision, ack and hiccups by percentile."""
    rows = [
        ("exchange ack", "c1", report.find("order to exchange ack")),
        ("decision", "c0", report.find("order to decision")),
        *((f"hiccup, core {row.core}", ("c3", "c2")[at % 2], row.late) for at, row in enumerate(report.hiccups)),
    ]
    lines = [plots.Line(label, colour, _percentile_points(row)) for label, colour, row in rows if row is not None]
    limit_us = _limit_us(report, acked=True)
    return plots.plot_percentiles("Latency by percentile", lines, (0.99, limit_us) if limit_us else None)


def _limit_us(report: Report, acked: bool) -> float | None:
    return report.objectives.ack_p99_us if acked else report.objectives.decision_p99_us


def _percentile_points(row: Latency) -> list[plots.Point]:
    hdr = HdrHistogram.decode(row.hdr)
    points: list[plots.Point] = []
    for step in hdr.get_percentile_iterator(12):
        share = min(step.percentile_level_iterated_to / 100, 1 - 0.5 / max(row.count, 1))
        points.append((share, max(step.value_iterated_to / 1e3, 0.1)))
    return points


def _scenario(report: Report) -> str:
    surges = ", ".join(
        f"{surge.rate_per_s:,}/s for {surge.duration_s:g} s at {surge.start_s:g} s" for surge in report.surges
    )
    return (
        f"{report.started_at}: {report.base_rate_per_s:,} requests/s for {report.duration_s:g} s"
        f"{', surges ' + surges if surges else ''}; {report.arrivals} arrivals; {report.accounts:,} accounts over "
        f"{report.sessions} sessions; flow: {report.flow}; target: {report.target}"
    )


def _tiles(report: Report) -> str:
    decision, ack = report.find("order to decision"), report.find("order to exchange ack")
    tiles = [
        ("lost", f"{report.counts.lost:,}"),
        ("requests sent", f"{report.counts.sent:,}"),
        ("peak in one second", f"{report.peak_sent_per_s:,}/s"),
    ]
    for label, row in (("decision", decision), ("exchange ack", ack)):
        if row is not None:
            tiles += [
                (f"{label} p50", plots.latency_text(row.p50_us)),
                (f"{label} p99", plots.latency_text(row.p99_us)),
            ]
    if report.surveillance is not None:
        rules = report.surveillance
        tiles.append(("benign orders stopped by rules", f"{rules.benign_stopped:,}"))
        if rules.latency.count:
            tiles.append(("alert p50", plots.latency_text(rules.latency.p50_us)))
            tiles.append(("alert max", plots.latency_text(rules.latency.max_us)))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for label, value in tiles
        )
        + "</div>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        '<div class="wide"><table><thead><tr>'
        + "".join(f"<th>{escape(name)}</th>" for name in head)
        + f"</tr></thead><tbody>{cells}</tbody></table></div>"
    )


def latency_cells(row: Latency) -> list[str]:
    """Name, count and percentiles of one latency, as text."""
    values = (row.p50_us, row.p90_us, row.p99_us, row.p99_9_us, row.max_us)
    return [row.name, f"{row.count:,}", *(f"{value:,.1f}" for value in values)]


LATENCY_HEAD = ("µs", "count", "p50", "p90", "p99", "p99.9", "max")


def _latency_table(rows: Sequence[Latency]) -> str:
    return _table(LATENCY_HEAD, (latency_cells(row) for row in rows))


def _section(title: str, rows: Sequence[Latency]) -> str:
    return f"<h2>{title}</h2>{_latency_table(rows)}" if rows else ""


def _reject_table(report: Report) -> str:
    if not report.rejects:
        return "<p>None, and none were asked for.</p>"
    return _table(
        ("code", "orders, as expected", "unexpected", "missing", "cancels"),
        (
            (
                f"{row.code} {row.name}",
                f"{row.expected:,}",
                f"{row.unexpected:,}",
                f"{row.missing:,}",
                f"{row.cancels:,}",
            )
            for row in report.rejects
        ),
    )


RULE_HEAD = ("rule", "warnings", "breaches", "observed only", "alerts that stopped an order")


def rule_cells(row: RuleCount) -> list[str]:
    """One rule and how often it was met, as text."""
    counts = (row.warnings, row.breaches, row.observed, row.stopped)
    return [f"{row.rule} {row.name}", *(f"{number:,}" for number in counts)]


def scene_lines(scene: Scene) -> list[str]:
    """The demonstration's trader, told in a few sentences."""
    lines = [f"{scene.account} withdrew {scene.flash_cancels} orders within a second of sending them:"]
    for alert in scene.alerts:
        lines.append(f"  {alert.at_s:.2f} s  {alert.what}, told {alert.after_ms:.1f} ms later")
        lines += [f"      {factor}" for factor in alert.factors]
    return [*lines, f"  of his {scene.late_orders} later buys {scene.refused} were refused (R1002)"]


def _rules_section(report: Report) -> str:
    rules = report.surveillance
    if rules is None:
        return ""
    text = (
        f"In force: {rules.rule_set}. {rules.hits:,} hits, {rules.levels:,} levels set; {rules.stopped:,} orders "
        f"stopped, {rules.benign_stopped:,} of them of benign accounts."
    )
    met = _table(RULE_HEAD, (rule_cells(row) for row in rules.rules)) if rules.rules else "<p>No rule was met.</p>"
    late = _latency_table([rules.latency]) if rules.latency.count else ""
    scene = f"<h2>A burst of flash cancels</h2>{_scene(rules.scene)}" if rules.scene else ""
    return f"<h2>Rules</h2><p>{escape(text)}</p>{met}{late}{scene}"


def _scene(scene: Scene) -> str:
    rows = [
        (f"{alert.at_s:.2f} s", alert.what, "; ".join(alert.factors), f"{alert.after_ms:.1f} ms")
        for alert in scene.alerts
    ]
    text = (
        f"{scene.account} withdrew {scene.flash_cancels} orders within a second of sending each. What an officer was "
        f"told, and how long after its cause:"
    )
    after = f"Of his {scene.late_orders} later buys {scene.refused} were refused (R1002): his level forbids them."
    told = _table(("at", "what", "measured", "told after"), rows)
    return f'<p>{escape(text)}</p><div class="told">{told}</div><p>{escape(after)}</p>'


def _hiccup_table(report: Report) -> str:
    return _table(
        (*LATENCY_HEAD, "over 1 ms"), ([*latency_cells(row.late), f"{row.over_1ms:,}"] for row in report.hiccups)
    )


def _count_table(report: Report) -> str:
    counts = report.counts
    return _table(
        ("requests", "count"),
        ((name.replace("_", " "), f"{getattr(counts, name):,}") for name in counts.__struct_fields__),
    )
