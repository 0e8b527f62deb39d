"""`tidegate rules`: the commands risk officers work with. It only registers them; each lives in its own module."""

import typer

from risk_rules.check_command import check
from risk_rules.evaluate_command import evaluate
from risk_rules.features_command import features
from risk_rules.schema_command import schema
from risk_rules.test_command import play

rules = typer.Typer(no_args_is_help=True, help="Rules of risk officers: write, check, test, compare.")
rules.command("check")(check)
rules.command("test")(play)
rules.command("evaluate")(evaluate)
rules.command("features")(features)
rules.command("schema")(schema)
