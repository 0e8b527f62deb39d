"""An explanation on a terminal. It prints what gateway/explain.py found and adds nothing."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.journal_day import Facts

HIDDEN = ("time_ns", "sha256")


def print_facts(facts: Facts, console: Console) -> None:
    """Whatever was asked: a code, an order or an account."""
    if "order" in facts:
        print_order(facts, console)
    elif "account" in facts:
        print_account(facts, console)
    else:
        section("Code", facts["code"], console)


def print_order(facts: Facts, console: Console) -> None:
    section("Order", facts["order"], console)
    section("Decision", facts["decision"], console)
    if facts["rule"]:
        section("Rule", facts["rule"], console)
    for hit in facts["hits"]:
        print_hit(hit, console)
    for kill in facts["kills"]:
        section("Kill that bound it then", kill, console)
    section("Quote the decision saw", facts["quotes"]["live"], console)
    section("Newest recorded quote, what the rules see", facts["quotes"]["recorded"], console)
    print_levels("Levels that bound it then", facts["levels"], console)
    section("Limits in force", facts["in_force"]["limits"], console)
    section("Rule set in force", facts["in_force"]["rule_set"], console)
    if facts["decision"]["verdict"] == "waits for confirmation":
        section("How it ended", facts["ended"] or {"how": "it still waits"}, console)


def print_account(facts: Facts, console: Console) -> None:
    section("Account", facts["account"], console)
    console.print("[bold red]restricted[/]" if facts["restricted"] else "[bold green]not restricted[/]")
    print_levels("Levels that bind it", facts["levels"], console)
    for title, rows in (("Kill", facts["kills"]), ("Manual review", facts["tickets"])):
        for row in rows:
            section(title, row, console)
    print_levels("History", facts["history"], console)


def print_levels(title: str, levels: list[Facts], console: Console) -> None:
    """Each level on one line, then the hit that set it."""
    if not levels:
        return
    columns = ("subject", "level", "since", "until", "by", "approved by", "reason")
    table = Table(*columns, title=title, title_justify="left")
    for level in levels:
        what = " ".join([level["level"], *level["forbids"]])
        throttle = f" {level['throttle_per_s']}/s" if level["throttle_per_s"] else ""
        row = (level["subject"], what + throttle, level["since"], level["until"], level["by"], level["approved_by"])
        table.add_row(*(escape(str(cell)) for cell in (*row, level["reason"])))
    console.print(table)
    for level in levels:
        if level["hit"]:
            print_hit(level["hit"], console)


def print_hit(hit: Facts, console: Console) -> None:
    """The comparisons of one hit, each value against its limit."""
    rule = hit["rule"] or {"rule": "a rule that is not in this journal", "name": ""}
    done = "blocked" if hit["blocked"] else "enforced" if hit["enforced"] else "recorded only"
    named = f"{rule['rule']} {rule['name']}".rstrip()
    title = f"Hit {hit['alert_seq']}: {named}: {hit['stage']}, {done}, at {hit['at']} {hit['time']}"
    table = Table("comparison", "value against limit", title=escape(title), title_justify="left")
    for comparison in hit["comparisons"]:
        table.add_row(escape(comparison["text"]), escape(comparison["shown"]))
    console.print(table)


def section(title: str, facts: Facts | None, console: Console) -> None:
    """A title and its values, one a line; what is empty is left out."""
    console.print(f"[bold]{escape(title)}[/]")
    if facts is None:
        console.print("  none")
        return
    for key, value in lines(facts):
        console.print(f"  [cyan]{key.replace('_', ' ')}[/] {escape(value)}")


def lines(facts: Facts) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        if key in HIDDEN or value in ("", None, [], 0):
            continue
        yield key, readable(value)


def readable(value: Any) -> str:
    """A value in words: of a table its values, of a list one after the other."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {text}" for key, text in lines(value))
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "; ".join(readable(part) for part in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else str(value)
