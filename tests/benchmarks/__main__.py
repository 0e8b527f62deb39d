"""Runs every tests/benchmarks/bench_*.py, prints one table, writes out/bench.json.

A module has `run(runs: int) -> dict[str, Figure]`. Usage: python -m tests.benchmarks [--runs N] [--only NAME ...]
"""

import argparse
import importlib
import json
import operator
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TypedDict

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
OUT = HERE.parent.parent / "out" / "bench.json"
COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
KEPT = ("value", "unit", "baseline", "ratio", "runs")


class Figure(TypedDict, total=False):
    """`value` (a number) and `unit` are required; `runs` holds the value of each run."""

    value: float
    unit: str
    baseline: float | None  # the same measurement with an empty core
    ratio: float | None  # value to baseline, whichever way the target reads it
    runs: list[float]
    target: str  # like ">= 20" or "< 150", of value
    note: str


def modules(only: list[str]) -> list[str]:
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    unknown = [name for name in only if name not in names]
    if unknown:
        raise SystemExit(f"--only: got {unknown[0]}, expected one of {', '.join(names)}")
    return only or names


def reached(figure: Figure) -> bool | None:
    """Whether the figure meets its target; None without one."""
    target = figure.get("target", "")
    if not target:
        return None
    sign, _, bound = target.partition(" ")
    return COMPARE[sign](figure["value"], float(bound))


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def table_of(figures: dict[str, Figure]) -> Table:
    table = Table("figure", "value", "unit", "baseline", "ratio", "target", "", "note", title="Benchmarks")
    for key, figure in figures.items():
        verdict = {None: "", True: "[green]reached[/]", False: "[red]missed[/]"}[reached(figure)]
        table.add_row(key, number(figure["value"]), figure["unit"], number(figure.get("baseline")),
                      number(figure.get("ratio")), figure.get("target", ""), verdict, figure.get("note", ""))
    return table


def write(figures: dict[str, Figure]) -> None:
    """out/bench.json: an object by key; keys of modules that did not run this time are kept."""
    OUT.parent.mkdir(exist_ok=True)
    written: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    for key, figure in figures.items():
        written[key] = {name: figure.get(name) for name in KEPT}
    OUT.write_text(json.dumps(written, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    figures: dict[str, Figure] = {}
    failed = []
    for name in modules(arguments.only):
        console.print(f"{time.strftime('%H:%M:%S')} {name}", highlight=False)
        try:
            figures |= importlib.import_module(f"tests.benchmarks.bench_{name}").run(arguments.runs)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    write(figures)
    console.print(table_of(figures))
    console.print(f"written to {OUT.relative_to(OUT.parent.parent)}", highlight=False)
    for name in failed:
        console.print(f"[red]{name} failed[/]; its figures are missing")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
