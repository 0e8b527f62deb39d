"""`tidegate rules`: the commands risk officers work with. It only registers them; each lives in its own module."""

import typer

from risk_rules.check_command import check
from risk_rules.evaluate_command import evaluate_rules
from risk_rules.features_command import features
from risk_rules.schema_command import schema
from risk_rules.test_command import test

rules = typer.Typer(no_args_is_help=True, help="Rules of risk officers: write, check, test, compare.")
rules.command("check")(check)
rules.command("test")(test)
rules.command("evaluate")(evaluate_rules)
rules.command("features")(features)
rules.command("schema")(schema)
