"""`tidegate rules explain`: what a decision was made from. It parses flags and prints."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from gateway.explain import explain as explained
from gateway.explain_text import print_facts

Json = Annotated[bool, typer.Option("--json", help="One JSON value instead of text.")]

Asked = Annotated[
    str, typer.Argument(metavar="CODE|ORDER|ACCOUNT", help="R1301, an order_id, account:cl_ord_id, or an account.")
]


def explain(
    asked: Asked,
    journal: Annotated[Path, typer.Option(help="A journal file, or a directory: its newest day.")] = Path("journal"),
    account: Annotated[str, typer.Option(help="The account whose cl_ord_id is asked for.")] = "",
    json: Json = False,
) -> None:
    """Why an order was decided so, why an account is restricted, or what a code checks."""
    facts = explained(asked, journal, account)
    if json:
        typer.echo(msgspec.json.encode(facts).decode())
    else:
        print_facts(facts, Console(highlight=False, soft_wrap=True))
