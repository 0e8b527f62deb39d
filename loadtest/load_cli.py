"""The commands `tidegate load run` and `prepare`: flags in, a table and a verdict out. Measures nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtest.alerts import Surveillance
from loadtest.drive import Endpoint, Progress
from loadtest.flow_csv import FlowError
from loadtest.page import LATENCY_HEAD, RULE_HEAD, latency_cells, rule_cells, scene_lines
from loadtest.processes import SHIPPED_RULES, StartError
from loadtest.report import Objectives, Report
from loadtest.runner import Options, prepare, run_load
from loadtest.scenario import write_scenario
from loadtest.schedule import Pace, ScheduleError, parse_duration_ns, parse_surges
from loadtest.sources import SourceError, parse_mix
from loadtest.universe import UniverseError

load = typer.Typer(no_args_is_help=True, help="Open-loop load: latency from the planned send time, nothing omitted.")
DEMO = (1_000, "24s", "10000x1s@5s,50000x1s@10s,50000x1s@17s")
BAD_USAGE = (ScheduleError, SourceError, FlowError, UniverseError, ValueError)

# --- flags ---

Rate = Annotated[int, typer.Option(min=1, help="Base rate, requests a second.")]
Duration = Annotated[str, typer.Option(help="How long requests are due: 30s, 2m.")]
SurgeText = Annotated[str, typer.Option(help="Steps that replace the base rate: 50000x1s@5s,20000x500ms@10s.")]
Arrivals = Annotated[str, typer.Option(help="poisson, even, or flow (the recorded shape, scaled).")]
FlowFile = Annotated[Path | None, typer.Option(help="CSV of recorded flow, .csv or .csv.zst.")]
Mix = Annotated[str | None, typer.Option(help="A plain mix instead of a flow: new=70,cancel=20,cross=8,bad=2.")]
Bad = Annotated[float, typer.Option(min=0, max=50, help="Percent of requests that must be rejected.")]
Accounts = Annotated[int, typer.Option(min=16, max=900_000, help="Accounts that trade.")]
SessionCount = Annotated[int, typer.Option(min=1, max=256, help="Order-entry sessions, a connection each.")]
Lanes = Annotated[int, typer.Option(min=2, max=256, help="Groups of accounts and instruments.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the market, the plan and the generated flow.")]
Target = Annotated[str | None, typer.Option(help="HOST:PORT of a running gateway; none: start everything here.")]
Token = Annotated[str, typer.Option(help="Token of the sessions.")]
MarketData = Annotated[str, typer.Option(help="With --target: HOST:PORT,HOST:PORT of the exchanges' quotes.")]
Metrics = Annotated[str | None, typer.Option(help="With --target: HOST:PORT of the gateway's metrics.")]
Instruments = Annotated[Path | None, typer.Option(help="CSV of instruments; with --target the gateway's own.")]
Background = Annotated[float, typer.Option(min=0, help="Generated flow per exchange, requests a second.")]
Transport = Annotated[str, typer.Option(help="native or grpcio.")]
Objective = Annotated[float | None, typer.Option(min=0, help="Fail above this, in microseconds.")]
Unexpected = Annotated[float, typer.Option(min=0, max=100, help="Percent of good orders that may be rejected.")]
Drain = Annotated[str, typer.Option(help="How long to wait for the last answers.")]
Burst = Annotated[int, typer.Option(min=1, max=10_000, help="Least time between two timer wake-ups.")]
Out = Annotated[Path, typer.Option(help="Where report.json and report.html go.")]
Svg = Annotated[Path | None, typer.Option(help="Also write the latency plot as SVG here.")]
Keep = Annotated[Path | None, typer.Option(help="Keep inputs, journal and logs here.")]
Realtime = Annotated[bool, typer.Option("--realtime", help="The load goes before all else on its core.")]
Rules = Annotated[Path, typer.Option(help="Folder of the rules in force in the gateway that the run starts.")]
Demo = Annotated[bool, typer.Option("--demo", help="The main job: 1,000/s with surges to 50,000/s, both exchanges.")]


@load.command()
def run(
    rate: Rate = 1_000,
    duration: Duration = "20s",
    surge: SurgeText = "",
    arrivals: Arrivals = "poisson",
    flow: FlowFile = None,
    mix: Mix = None,
    bad: Bad = 2.0,
    accounts: Accounts = 4_000,
    sessions: SessionCount = 4,
    lanes: Lanes = 8,
    seed: Seed = 1,
    target: Target = None,
    token: Token = "load",
    market_data: MarketData = "",
    metrics: Metrics = None,
    instruments: Instruments = None,
    background: Background = 200.0,
    transport: Transport = "native",
    slo_decision_p99_us: Objective = None,
    slo_ack_p99_us: Objective = None,
    max_unexpected: Unexpected = 0.0,
    drain: Drain = "5s",
    burst_us: Burst = 50,
    out: Out = Path("out"),
    svg: Svg = None,
    keep: Keep = None,
    realtime: Realtime = False,
    rules: Rules = SHIPPED_RULES,
    demo: Demo = False,
) -> None:
    """Load a gateway and judge it; exit code 0: passed, 1: failed, 2: cannot be run as asked."""
    if demo:
        rate, duration, surge = DEMO
    try:
        objectives = Objectives(decision_p99_us=slo_decision_p99_us, ack_p99_us=slo_ack_p99_us,
                                max_unexpected_share=max_unexpected / 100)
        options = Options(
            pace_of(rate, duration, surge), arrivals, flow, mix, parse_mix(mix)["bad"] if mix else bad / 100, accounts,
            sessions, lanes, seed, Endpoint.parse(target) if target else None, token,
            tuple(Endpoint.parse(text) for text in market_data.split(",") if text),
            Endpoint.parse(metrics) if metrics else None, instruments, background, transport,
            parse_duration_ns(drain, "drain") / 1e9, burst_us * 1_000, objectives, out, svg, keep,
            realtime, rules, demo and target is None,
        )
        report = show_run(options)
    except BAD_USAGE as error:
        raise fail(str(error), 2) from None
    except (StartError, OSError, TimeoutError) as error:
        raise fail(str(error) or type(error).__name__, 1) from None
    raise typer.Exit(0 if report.verdict == "PASS" else 1)


@load.command("prepare")
def prepare_inputs(
    folder: Annotated[Path, typer.Argument(help="Where instruments.csv, limits.yaml and positions.csv go.")],
    rate: Rate = 1_000,
    duration: Duration = "20s",
    surge: SurgeText = "",
    accounts: Accounts = 4_000,
    lanes: Lanes = 8,
    seed: Seed = 1,
) -> None:
    """Write the inputs for a gateway of your own; then run with the same flags, --target and --instruments."""
    try:
        options = Options(pace_of(rate, duration, surge), accounts=accounts, lanes=lanes, seed=seed)
        universe, _, plan = prepare(options)
        write_scenario(folder, universe, plan, accounts, lanes)
    except (*BAD_USAGE, OSError) as error:
        raise fail(str(error), 2) from None
    typer.echo(f"{folder}: instruments.csv, limits.yaml, positions.csv for {accounts} accounts; token: load")


def pace_of(rate: int, duration: str, surge: str) -> Pace:
    """The pace that three flags describe."""
    return Pace(rate, parse_duration_ns(duration), tuple(parse_surges(surge)))


def fail(text: str, code: int) -> typer.Exit:
    """Say what is wrong in one line."""
    typer.echo(f"tidegate load: {text}", err=True)
    return typer.Exit(code)


def show_run(options: Options) -> Report:
    """Run with a live progress line, then print the tables and the one line."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    total_s = options.pace.duration_ns / 1e9
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        report = run_load(options, shower(live, console, total_s), console.print)
    show(report, console)
    return report


def shower(live: Live, console: Console, total_s: float) -> Callable[[Progress], None]:
    """On a terminal one line that changes; elsewhere one line every five seconds."""
    last_s = -5.0

    def show_progress(progress: Progress) -> None:
        nonlocal last_s
        text = (
            f"{progress.elapsed_s:5.1f}/{total_s:g} s  planned {progress.due:,}  sent {progress.sent:,}  "
            f"answered {progress.answered:,}  decision p50/p99 {progress.decision_p50_us:,.0f}/"
            f"{progress.decision_p99_us:,.0f} us  ack {progress.ack_p50_us:,.0f}/{progress.ack_p99_us:,.0f} us"
        )
        live.update(text)
        if not console.is_terminal and progress.elapsed_s - last_s >= 5:
            last_s = progress.elapsed_s
            console.print(text)

    return show_progress


def show(report: Report, console: Console) -> None:
    """The tables of a report, and its one line last."""
    table = Table(*LATENCY_HEAD, title="from outside, counted from the planned send time")
    rows = [*report.latencies, *report.gateway_stages, *(row.late for row in report.hiccups)]
    for at in range(1, len(LATENCY_HEAD)):
        table.columns[at].justify = "right"
    for at, row in enumerate(rows):
        table.add_row(
            *latency_cells(row),
            end_section=at + 1 in (len(report.latencies), len(report.latencies) + len(report.gateway_stages)),
        )
    console.print(table)
    if report.rejects:
        rejects = Table("code", "expected", "unexpected", "missing", "cancels", title="rejections")
        for reject in report.rejects:
            rejects.add_row(
                f"{reject.code} {reject.name}",
                *(f"{number:,}" for number in (reject.expected, reject.unexpected, reject.missing, reject.cancels)),
            )
        console.print(rejects)
    if report.surveillance is not None:
        show_rules(report.surveillance, console)
    for note in report.notes:
        console.print(note, soft_wrap=True)
    for reason in report.reasons:
        console.print(f"failed: {reason}", soft_wrap=True)
    console.print(report.summary(), soft_wrap=True)


def show_rules(rules: Surveillance, console: Console) -> None:
    """What the rules met, and the demonstration's trader."""
    table = Table(*RULE_HEAD, title=f"rules in force: {rules.rule_set}")
    for row in rules.rules:
        table.add_row(*rule_cells(row))
    if rules.rules:
        console.print(table)
    else:
        console.print(f"rules in force: {rules.rule_set}; none was met")
    for line in scene_lines(rules.scene) if rules.scene else ():
        console.print(line, soft_wrap=True)


__all__ = ["load"]

if __name__ == "__main__":
    sys.exit(load(prog_name="tidegate load"))
