"""`tidegate rules check`: says what is wrong with rule files, and what they loosen. Changes nothing."""

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from risk_rules.accounts import read_accounts
from risk_rules.load import load_rules, rule_files
from risk_rules.loosening import TEN_TIMES, far_looser
from risk_rules.marked import ConfigError
from risk_rules.rule_types import Change, RuleSet

GOOD, WRONG, LOOSER = 0, 1, 3
COLOURS = {"new": "green", "tighter": "green", "looser": "yellow", "gone": "red", "other": "yellow"}

Files = Annotated[list[Path], typer.Argument(help="Rule files, or directories of them; one rule set together.")]
Previous = Annotated[list[Path] | None, typer.Option(help="A file or directory of the rules in force; may repeat.")]
Limits = Annotated[Path | None, typer.Option(help="Limits file: finds rules that bind none of its accounts.")]
Allow = Annotated[bool, typer.Option("--allow-loosening", help="A limit ten times looser is meant.")]
Day = Annotated[str, typer.Option(help="Check the rules in force on this day, YYYY-MM-DD; all when left out.")]


def check(files: Files, previous: Previous = None, limits_accounts: Limits = None, allow_loosening: Allow = False,
          day: Day = "") -> int:
    """Check rule files. Exit code 0: good; 1: wrong; 3: a limit is ten times looser, which takes --allow-loosening."""
    try:
        on_day = day_of(day)
        before = load_rules(every_file(previous), day=on_day) if previous else None
        accounts = read_accounts(limits_accounts) if limits_accounts else None
        loaded = load_rules(every_file(files), day=on_day, accounts=accounts, previous=before)
    except ConfigError as error:
        for line in error.errors:
            typer.echo(line, err=True)
        return WRONG
    for line in loaded.warnings:
        typer.echo(f"{line} (warning)", err=True)
    print_changes(loaded.changes)
    typer.echo(summary(loaded))
    far = far_looser(loaded.changes)
    if not far or allow_loosening:
        return GOOD
    for change in far:
        text = f"{change.rule}: {change.what}: {change.before} -> {change.after}"
        typer.echo(f"{text}: {TEN_TIMES} times looser or more: --allow-loosening if that is meant", err=True)
    return LOOSER


def every_file(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, folders as the rule files in them; a folder without any is a mistake."""
    found: list[Path] = []
    for path in paths:
        files = rule_files(path)
        if not files:
            raise ConfigError([f"{path}:1:1: file: no rule files in this folder, expected some *.yaml"])
        found += files
    return found


def day_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigError([f"--day: got {text!r}, expected YYYY-MM-DD"]) from None


def summary(loaded: RuleSet) -> str:
    modes = [rule.mode for rule in loaded.rules]
    counts = ", ".join(f"{modes.count(mode)} {mode}" for mode in dict.fromkeys(modes))
    rules = f"{len(modes)} rules ({counts or 'none'})"
    return f"good: {loaded.id} version {loaded.version}: {rules}, sha256 {loaded.sha256}"


def print_changes(changes: Iterable[Change]) -> None:
    """A table of what changes, for people."""
    table = Table("rule", "change", "what", "before", "after")
    for change in changes:
        cells = (change.rule, change.verdict, change.what, change.before, change.after)
        table.add_row(*cells, style=COLOURS[change.verdict])
    if table.row_count:
        Console(soft_wrap=True, highlight=False).print(table)
