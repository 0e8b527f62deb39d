"""The commands `tidegate load run` and `tidegate load prepare`: flags in, a table and a verdict out. Measures nothing."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from loadtest.drive import Endpoint, Progress
from loadtest.flow_csv import FlowError
from loadtest.page import LATENCY_HEAD, latency_cells
from loadtest.processes import StartError
from loadtest.report import Objectives, Report
from loadtest.runner import Options, prepare, run_load
from loadtest.scenario import write_scenario
from loadtest.schedule import Pace, ScheduleError, parse_duration_ns, parse_surges
from loadtest.sources import SourceError
from loadtest.universe import UniverseError

load = typer.Typer(no_args_is_help=True, help="Open-loop load: latency from the planned send time, nothing omitted.")
DEMO_PACE = ("1000", "24s", "10000x1s@5s,50000x1s@10s,50000x1s@17s")
BAD_USAGE = (ScheduleError, SourceError, FlowError, UniverseError, ValueError)

Rate = Annotated[int, typer.Option(min=1, help="Base rate, requests a second.")]
Text = Annotated[str, typer.Option()]


@load.command()
def run(
    rate: Rate = 1_000,
    duration: Annotated[str, typer.Option(help="How long requests are due: 30s, 2m.")] = "20s",
    surge: Annotated[str, typer.Option(help="Steps that replace the base rate: 50000x1s@5s,20000x500ms@10s.")] = "",
    arrivals: Annotated[str, typer.Option(help="poisson, even, or flow (the recorded shape, scaled).")] = "poisson",
    flow: Annotated[Path | None, typer.Option(help="CSV of recorded flow, .csv or .csv.zst.")] = None,
    mix: Annotated[str | None, typer.Option(help="A plain mix instead of a flow: new=70,cancel=20,cross=8,bad=2.")] = None,
    bad: Annotated[float, typer.Option(min=0, max=50, help="Percent of requests that must be rejected.")] = 2.0,
    accounts: Annotated[int, typer.Option(min=16, max=900_000, help="Accounts that trade.")] = 4_000,
    sessions: Annotated[int, typer.Option(min=1, max=256, help="Order-entry sessions, a connection each.")] = 4,
    lanes: Annotated[int, typer.Option(min=2, max=256, help="Groups of accounts and instruments.")] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    target: Annotated[str | None, typer.Option(help="HOST:PORT of a running gateway; none: start everything here.")] = None,
    token: Annotated[str, typer.Option(help="Token of the sessions.")] = "load",
    market_data: Annotated[str, typer.Option(help="With --target: HOST:PORT,HOST:PORT of the exchanges' quotes.")] = "",
    metrics: Annotated[str | None, typer.Option(help="With --target: HOST:PORT of the gateway's metrics.")] = None,
    instruments: Annotated[Path | None, typer.Option(help="CSV of instruments; with --target the gateway's own.")] = None,
    background: Annotated[float, typer.Option(min=0, help="Generated flow per exchange, requests a second.")] = 200.0,
    transport: Annotated[str, typer.Option(help="native or grpcio.")] = "native",
    slo_decision_p99_us: Annotated[float | None, typer.Option(min=0)] = None,
    slo_ack_p99_us: Annotated[float | None, typer.Option(min=0)] = None,
    max_unexpected: Annotated[float, typer.Option(min=0, max=100, help="Percent of good orders that may be rejected.")] = 0.0,
    drain: Annotated[str, typer.Option(help="How long to wait for the last answers.")] = "5s",
    burst_us: Annotated[int, typer.Option(min=1, max=10_000, help="Least time between two timer wake-ups.")] = 50,
    out: Annotated[Path, typer.Option(help="Where report.json and report.html go.")] = Path("out"),
    svg: Annotated[Path | None, typer.Option(help="Also write the latency plot as SVG here.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep inputs, journal and logs here.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="The main job: both exchanges, 1,000/s with surges to 50,000/s.")] = False,
) -> None:
    """Load a gateway and judge it; exit code 0: passed, 1: failed, 2: cannot be run as asked."""
    if demo:
        rate, duration, surge = int(DEMO_PACE[0]), DEMO_PACE[1], DEMO_PACE[2]
    try:
        options = Options(
            pace=Pace(rate, parse_duration_ns(duration), tuple(parse_surges(surge))), arrivals=arrivals, flow=flow, mix=mix,
            bad_share=bad_of(mix, bad), accounts=accounts, sessions=sessions, lanes=lanes, seed=seed,
            target=Endpoint.parse(target) if target else None, token=token,
            market_data=tuple(Endpoint.parse(text) for text in market_data.split(",") if text),
            metrics=Endpoint.parse(metrics) if metrics else None, instruments=instruments, background_per_s=background,
            transport=transport, drain_s=parse_duration_ns(drain, "drain") / 1e9, burst_ns=burst_us * 1_000,
            out=out, svg=svg, keep=keep,
            objectives=Objectives(decision_p99_us=slo_decision_p99_us, ack_p99_us=slo_ack_p99_us,
                                  max_unexpected_share=max_unexpected / 100),
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
    duration: Text = "20s",
    surge: Text = "",
    accounts: Annotated[int, typer.Option(min=16, max=900_000)] = 4_000,
    lanes: Annotated[int, typer.Option(min=2, max=256)] = 8,
    seed: Annotated[int, typer.Option(min=0)] = 1,
) -> None:
    """Write the inputs for a gateway of your own; then run with the same flags, --target and --instruments."""
    try:
        options = Options(pace=Pace(rate, parse_duration_ns(duration), tuple(parse_surges(surge))), accounts=accounts,
                          lanes=lanes, seed=seed)
        universe, _, plan = prepare(options)
        write_scenario(folder, universe, plan, accounts, lanes)
    except (*BAD_USAGE, OSError) as error:
        raise fail(str(error), 2) from None
    typer.echo(f"{folder}: instruments.csv, limits.yaml, positions.csv for {accounts} accounts; token: load")


def bad_of(mix: str | None, percent: float) -> float:
    """A mix names its own share of bad orders."""
    from loadtest.sources import parse_mix

    return parse_mix(mix)["bad"] if mix else percent / 100


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
        text = (f"{progress.elapsed_s:5.1f}/{total_s:g} s  planned {progress.due:,}  sent {progress.sent:,}  "
                f"answered {progress.answered:,}  decision p50/p99 {progress.decision_p50_us:,.0f}/"
                f"{progress.decision_p99_us:,.0f} us  ack {progress.ack_p50_us:,.0f}/{progress.ack_p99_us:,.0f} us")
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
        table.add_row(*latency_cells(row), end_section=at + 1 in (len(report.latencies), len(report.latencies)
                                                                  + len(report.gateway_stages)))
    console.print(table)
    if report.rejects:
        rejects = Table("code", "expected", "unexpected", "missing", "cancels", title="rejections")
        for reject in report.rejects:
            rejects.add_row(f"{reject.code} {reject.name}", *(f"{number:,}" for number in (
                reject.expected, reject.unexpected, reject.missing, reject.cancels)))
        console.print(rejects)
    for reason in report.reasons:
        console.print(f"failed: {reason}", soft_wrap=True)
    console.print(report.summary(), soft_wrap=True)


__all__ = ["load"]

if __name__ == "__main__":
    sys.exit(load(prog_name="tidegate load"))
