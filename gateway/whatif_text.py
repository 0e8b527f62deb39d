"""A replay's findings on a terminal. It prints what gateway/whatif.py found and adds nothing."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.journal_day import Facts

MOST_ACCOUNTS = 10
MOST_ORDERS = 10
MOST_LEVELS = 20
TITLES = {"blocked": "Newly blocked", "let through": "Newly let through", "other rule": "Stopped on other grounds"}


def print_findings(facts: Facts, console: Console) -> None:
    """The day, the rules, what is different, and who would have been restricted."""
    rules = facts["rules"] if isinstance(facts["rules"], str) else ", ".join(facts["rules"])
    speed = f"{facts['frames']:,} events in {facts['seconds']:.1f} s, {facts['events_per_s']:,} a second"
    console.print(f"[bold]{escape(facts['journal'])}[/] day {facts['trade_date']}, rules: {escape(rules)}; {speed}")
    judged = f"{facts['orders_judged']:,} orders judged"
    console.print(f"{judged}: {facts['stopped']:,} stopped, {facts['stopped_live']:,} when it happened")
    print_rules(facts["by_rule"], console)
    if facts["same"]:
        console.print("[bold green]no order is decided otherwise[/]")
    for kind, difference in facts["differences"].items():
        if difference["orders"]:
            print_difference(TITLES[kind], difference, console)
    if facts["cancels_stopped"]:
        console.print(f"cancels that these rules would have refused: {facts['cancels_stopped']:,}")
    for level in facts["levels"][:MOST_LEVELS]:
        reached = f"would reach {level['level']} at {level['time']} by {escape(level['rule'])}"
        console.print(f"{escape(level['subject'])} {reached}")
    if len(facts["levels"]) > MOST_LEVELS:
        console.print(f"and {len(facts['levels']) - MOST_LEVELS} more")


def print_rules(rows: list[Facts], console: Console) -> None:
    if not rows:
        console.print("no rule was met")
        return
    table = Table("rule", "name", title="Hits and stopped orders (then)", title_justify="left")
    for column in ("warned", "breached", "stopped"):
        table.add_column(column, justify="right")
    for row in rows:
        cells = (f"{row[column]:,} ({row[f'{column}_live']:,})" for column in ("warned", "breached", "stopped"))
        table.add_row(escape(row["rule"]), escape(row["name"]), *cells)
    console.print(table)


def print_difference(title: str, difference: Facts, console: Console) -> None:
    """How many, how much, whose; and the first of them with what was compared."""
    makers = f", {difference['market_makers']:,} of market makers" if difference["market_makers"] else ""
    console.print(f"[bold]{title}[/]: {difference['orders']:,} orders, {difference['notional']}{makers}")
    accounts = [f"{row['account']} {row['orders']:,} ({row['notional']})" for row in difference["accounts"]]
    more = f" and {len(accounts) - MOST_ACCOUNTS} more" if len(accounts) > MOST_ACCOUNTS else ""
    console.print("  accounts " + escape(", ".join(accounts[:MOST_ACCOUNTS])) + more)
    table = Table("time", "order", "account", "what", "then", "candidate", "compared", title_justify="left")
    for order in difference["first"][:MOST_ORDERS]:
        what = f"{order['side']} {order['order_qty_shares']:,} {order['security']} at {order['price']}"
        compared = "; ".join(f"{part['text']}: {part['shown']}" for part in order["comparisons"])
        row = (order["time"], order["order_id"], order["account"], what, order["live"], order["candidate"], compared)
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)
