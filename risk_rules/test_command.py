"""`tidegate rules test`: runs rule tests and prints what failed and what the tests covered."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from risk_rules.branches import branches_of
from risk_rules.tapes import load_tests
from risk_rules.testing import STAGES, Report, run_file

SHIPPED = Path(__file__).parent
Files = Annotated[
    list[Path] | None, typer.Argument(help="Test files or folders of them; the shipped rulebook's when left out.")
]
Only = Annotated[str, typer.Option("--only", help="Only tests whose name has this in it.")]
Coverage = Annotated[bool, typer.Option("--coverage/--no-coverage", help="Print which rules and comparisons were met.")]


Branches = Annotated[
    bool, typer.Option("--branches", help="Force each comparison both ways: would a test notice? Slow.")
]


def play(files: Files = None, only: Only = "", coverage: Coverage = True, branches: Branches = False) -> int:
    """Play *_test.yaml through the real engine; exit code 1 when an expectation is not met."""
    console = Console(soft_wrap=True)
    reports = [run_file(load_tests(path), only) for path in test_files(files or [SHIPPED])]
    for report in reports:
        print_failures(console, report)
        if coverage and not only:
            print_coverage(console, report)
    if branches:
        for path in test_files(files or [SHIPPED]):
            print_branches(console, path)
    failed = sum(len(report.failed) for report in reports)
    checks = sum(report.checks for report in reports)
    tests = sum(report.tests for report in reports)
    console.print(f"{tests} tests, {checks} expectations, {failed} not met", style="red" if failed else "green")
    return 1 if failed or not tests else 0


def test_files(given: list[Path]) -> list[Path]:
    """Test files as they are, rule files as the tests beside them, folders as the test files in them."""
    found: list[Path] = []
    for path in given:
        beside = path.with_name(f"{path.stem}_test.yaml")
        if path.is_dir():
            found += sorted(path.glob("*_test.yaml"))
        elif beside.is_file():
            found.append(beside)
        elif path.is_file():
            found.append(path)
        else:
            raise typer.BadParameter(f"{path}: no such file or folder")
    return found


def print_failures(console: Console, report: Report) -> None:
    for check in report.failed:
        console.print(f"{report.path}:{check.line}: {check.test}", style="red", highlight=False)
        console.print(f"  expected: {check.expected}\n  happened: {check.happened}", highlight=False)


def print_coverage(console: Console, report: Report) -> None:
    """Rules in file order: the stages some test met, and the comparisons that were part of a hit."""
    table = Table("rule", *STAGES.values(), "comparisons met", "not met", title=report.path.name)
    for rule, stages in report.stages.items():
        fired = report.fired.get(rule, set())
        texts = report.comparisons.get(rule, [])
        missing = [text for text in texts if text not in report.met.get(rule, set())]
        marks = [
            "-" if stage not in stages else "yes" if stage in fired else "[red]no[/red]" for stage in STAGES.values()
        ]
        table.add_row(rule, *marks, f"{len(texts) - len(missing)} of {len(texts)}", "\n".join(missing))
    console.print(table)


def print_branches(console: Console, path: Path) -> None:
    """What no test would miss."""
    found = list(branches_of(load_tests(path)))
    table = Table("rule", "comparison", "no test notices when it is", title=f"{path.name}: branches")
    for branch in found:
        if not branch.noticed:
            table.add_row(branch.rule, branch.text, f"{branch.forced} true")
    console.print(table)
    noticed = sum(branch.noticed for branch in found)
    console.print(f"{noticed} of {len(found)} branches are noticed by a test")
