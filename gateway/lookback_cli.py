"""`tidegate rules explain` and `replay`: what was decided and why, and what other rules would have decided."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gateway.explain import explain as explained
from gateway.explain_text import print_facts
from gateway.settings import SettingError
from gateway.whatif import Progress as OnProgress
from gateway.whatif import replay_rules
from gateway.whatif_text import print_findings

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


def replay(
    journal: Annotated[Path, typer.Argument(help="A journal file, or a directory: its newest day.")],
    rules: Annotated[
        list[Path] | None, typer.Option(help="Rule files or directories; left out: as recorded.")
    ] = None,
    day: Annotated[str, typer.Option(help="Whose rules are valid, YYYY-MM-DD; left out: the journal's day.")] = "",
    json: Json = False,
) -> None:
    """A recorded day through candidate rules: what they would have stopped, and where that differs from what was."""
    valid_on = parse_day(day)
    with progress_bar() as on_progress:
        facts = replay_rules(journal, rules or [], day=valid_on, progress=on_progress)
    if json:
        typer.echo(msgspec.json.encode(facts).decode())
    else:
        print_findings(facts, Console(highlight=False, soft_wrap=True))


def parse_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise SettingError(f"--day: got {text!r}, expected YYYY-MM-DD") from None


@contextmanager
def progress_bar() -> Iterator[OnProgress | None]:
    """A bar on standard error of a terminal; nothing when that is a pipe or a file."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    speed = TextColumn("{task.fields[speed]:,.0f} events/s")
    columns = (speed, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("replay", total=None, speed=0.0)

        def show(adopted: int, frames: int) -> None:
            bar.update(task, completed=adopted, total=frames, speed=bar.tasks[0].speed or 0.0)

        yield show
