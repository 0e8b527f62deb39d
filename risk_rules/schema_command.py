"""`tidegate rules schema`: the JSON Schema of rule files, for editors. Made from the shapes the reader reads by."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from risk_rules.marked import ConfigError
from risk_rules.shapes import json_schema

Out = Annotated[Path | None, typer.Option("--out", help="Write it here; to the terminal when left out.")]


def schema(out: Out = None) -> None:
    """Print or write the JSON Schema of a rule file."""
    text = schema_text()
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"--out: {out}: {error.strerror}"]) from None


def schema_text() -> str:
    """What risk_rules/schema.json holds."""
    return msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted")).decode() + "\n"
