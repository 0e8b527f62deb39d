"""`tidegate rules features`: every feature a rule may use. Reads the one table there is."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from risk_rules.features import TABLE


def features(as_json: Annotated[bool, typer.Option("--json", help="For machines: one JSON list.")] = False) -> None:
    """List every feature with its unit, arguments and meaning."""
    if as_json:
        rows = [{"name": feature.name, "unit": feature.unit, "kind": feature.kind, "use": feature.signature,
                 "meaning": feature.meaning} for feature in TABLE]
        typer.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    table = Table("feature", "unit", "meaning")
    for feature in TABLE:
        table.add_row(feature.signature, feature.unit, feature.meaning)
    Console(highlight=False).print(table)
