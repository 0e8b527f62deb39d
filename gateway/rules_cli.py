"""`tidegate rules diff, push, approve, refuse, rollback, history, alerts`: rules of a running gateway.

Plain functions of the plug-in group `tidegate.rules`: risk_rules, whose app they join, knows nothing of a gateway.
"""

from pathlib import Path
from typing import Annotated

import typer

from gateway.control_cli import AllShards, Json, Reason, Within, as_text, moment, print_alerts, show, tell_proposal
from gateway.control_client import Connection, connecting
from gateway.pb import control_pb2 as api
from gateway.settings import SettingError

Files = Annotated[list[Path], typer.Argument(help="Rule files, or one folder of them: the whole rule set.")]
Base = Annotated[str, typer.Option(help="SHA-256 of the rule set that this was compared with.")]


def rule_files_of(paths: list[Path]) -> list[api.RuleFile]:
    """The files with the tests beside them; of a folder all but limits.yaml."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise SettingError(f"FILE: got '{path}', expected a file or a folder that exists")
        beside = path.with_name(f"{path.stem}_test.yaml")
        inside = sorted(path.glob("*.yaml")) if path.is_dir() else [path, *([beside] if beside.exists() else [])]
        found |= {file.name: file for file in inside if file.name != "limits.yaml"}
    return [api.RuleFile(name=name, text=text_of(file)) for name, file in found.items()]


def text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SettingError(f"FILE: {file}: no UTF-8 at byte {error.start}, expected text") from None
    except OSError as error:
        raise SettingError(f"FILE: {file}: {error.strerror}") from None


@connecting
def push(
    connection: Connection,
    files: Files,
    reason: Reason = "",
    base: Base = "",
    allow_loosening: Annotated[
        bool, typer.Option("--allow-loosening", help="A limit ten times looser is meant.")
    ] = False,
    all_shards: AllShards = False,
    within: Within = 5.0,
) -> None:
    """Propose a rule set. What only tightens is in force at once; what loosens waits for another person."""
    tell_proposal(
        connection.call(
            "PushRules",
            api.PushRulesRequest(
                files=rule_files_of(files),
                reason=reason,
                base_sha256=base,
                allow_loosening=allow_loosening,
                all_shards=all_shards,
                within_ms=round(within * 1000),
            ),
        )
    )


@connecting
def diff(
    connection: Connection,
    files: Annotated[list[Path] | None, typer.Argument(help="Rule files, or one folder of them.")] = None,
    proposal: Annotated[int, typer.Option(min=0, help="A proposal that waits.")] = 0,
    sha256: Annotated[str, typer.Option(help="A rule set that was in force.")] = "",
) -> None:
    """Compare with what is in force: texts, then what gets tighter or looser."""
    request = api.DiffRulesRequest(files=rule_files_of(files or []), proposal=proposal, sha256=sha256)
    answer = connection.call("DiffRules", request)
    for error in answer.errors:
        typer.echo(f"tidegate: error: {error}", err=True)
    if answer.errors:
        raise typer.Exit(1)
    typer.echo(answer.text, nl=False)
    for change in answer.changes:
        typer.echo(change)
    looser = "a limit is ten times looser" if answer.loosens_tenfold else "it loosens: a second person is needed"
    typer.echo(f"against {answer.base_sha256 or 'no rules'}: " + (looser if answer.loosens else "it loosens nothing"))


@connecting
def approve(connection: Connection, proposal: int, reason: Reason = "", within: Within = 5.0) -> None:
    """Approve another person's rules."""
    request = api.ProposalDecision(proposal=proposal, reason=reason, within_ms=round(within * 1000))
    tell_proposal(connection.call("Approve", request))


@connecting
def refuse(connection: Connection, proposal: int, reason: Reason = "") -> None:
    """Refuse a proposal, or take one's own back."""
    tell_proposal(connection.call("Refuse", api.ProposalDecision(proposal=proposal, reason=reason)))


@connecting
def rollback(
    connection: Connection,
    to: Annotated[str, typer.Argument(help="8 or more digits of a SHA-256; the rule set before when left out.")] = "",
    reason: Reason = "",
    all_shards: AllShards = False,
    within: Within = 5.0,
) -> None:
    """Take the rules back to a set that was in force."""
    request = api.RollbackRulesRequest(to=to, reason=reason, all_shards=all_shards, within_ms=round(within * 1000))
    tell_proposal(connection.call("RollbackRules", request))


@connecting
def history(
    connection: Connection, most: Annotated[int, typer.Option(min=1, max=1000)] = 20, as_json: Json = False
) -> None:
    """Who pushed, approved and rolled back what, newest first."""
    answer = connection.call("RulesHistory", api.RulesHistoryRequest(most=most))
    rows = [
        (
            str(row.trade_date),
            moment(row.time_ns),
            row.step,
            f"{row.rule_set_id}@{row.rule_set_version}",
            row.sha256[:12],
            row.by,
            row.approved_by,
            row.reason,
        )
        for row in answer.entries
    ]
    show(answer, ("day", "time", "step", "rule set", "sha256", "by", "second", "reason"), rows, as_json)


@connecting
def in_force(connection: Connection) -> None:
    """The rule set in force and what waits to follow it; JSON."""
    typer.echo(as_text(connection.call("GetRules", api.GetRulesRequest())))


@connecting
def alerts(
    connection: Connection,
    after: Annotated[int, typer.Option(min=0, help="Only newer ones than this number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
) -> None:
    """The day's alerts, one line of JSON each."""
    print_alerts(connection, after, follow)
