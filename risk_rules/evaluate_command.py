"""`tidegate rules evaluate`: labelled flows against a rulebook, as a table for people or JSON for benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from risk_rules.load import rule_files
from risk_rules.scenarios.evaluate import Outcome, run_all, totals
from risk_rules.test_command import SHIPPED

Files = Annotated[
    list[Path] | None, typer.Argument(help="Rule files or folders of them; the shipped rulebook when left out.")
]
Only = Annotated[str, typer.Option("--only", help="Only rules and cases whose name has this in it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object: totals and every run.")]
CAUGHT_AT_LEAST, STOPPED_BELOW = 99.5, 0.1


def evaluate(files: Files = None, only: Only = "", as_json: AsJson = False) -> int:
    """Run labelled abnormal and benign flow; exit code 1 when too little is caught or too much stopped."""
    console = Console(soft_wrap=True, stderr=as_json)
    paths = [found for path in files or [SHIPPED] for found in rule_files(path)]
    with console.status("") as status:
        outcomes = run_all(paths, only=only, told=status.update)
    found = totals(outcomes)
    if as_json:
        typer.echo(msgspec.json.encode({"totals": found, "runs": outcomes}).decode())
    else:
        print_table(console, outcomes)
        console.print(
            f"abnormal caught {found.abnormal_caught} % of {found.abnormal_runs} runs; near the threshold wrong "
            f"{found.near_false} % of {found.near_runs}; benign orders stopped "
            f"{found.benign_stopped} % of {found.benign_orders}; "
            f"time to detect {found.detect_ms_median:.1f} ms median, {found.detect_ms_worst:.1f} ms worst",
        )
    good = bool(outcomes) and found.abnormal_caught >= CAUGHT_AT_LEAST and found.benign_stopped < STOPPED_BELOW
    return 0 if good else 1


def print_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(
        "rule or case", "label", "runs", "right", "detected after ms", "orders", "benign stopped", "what was wrong"
    )
    for key in dict.fromkeys((outcome.name, outcome.label) for outcome in outcomes):
        runs = [outcome for outcome in outcomes if (outcome.name, outcome.label) == key]
        times = [outcome.detect_ms for outcome in runs if outcome.detect_ms is not None]
        good = sum(outcome.good for outcome in runs)
        table.add_row(
            *key,
            str(len(runs)),
            str(good) if good == len(runs) else f"[red]{good}[/red]",
            f"{min(times):.0f} to {max(times):.0f}" if times else "",
            str(sum(outcome.orders for outcome in runs)),
            str(sum(outcome.stopped for outcome in runs)),
            "; ".join(f"{outcome.variant}: {outcome.text}" for outcome in runs if not outcome.good),
        )
    console.print(table)
