"""`tidegate control`: kills, levels, reviews, exposures, alerts, over the control port. Decides nothing."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table

from gateway.control_client import Connection, connecting
from gateway.pb import control_pb2 as api
from gateway.settings import SHANGHAI, SettingError

SCOPES = {"session": api.SESSION, "account": api.ACCOUNT, "group": api.GROUP, "firm": api.FIRM}
AGAIN_S = 1.0
OF_HITS = ("enforced", "blocked")  # said even when they are false

control = typer.Typer(no_args_is_help=True, help="Kill switch, levels, reviews and alerts of a running gateway.")

Scope = Annotated[str, typer.Argument(help="session, account, group or firm.")]
Subject = Annotated[str, typer.Argument(help="Its id; a session's: 8 digits of its token's SHA-256; the firm's: none.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it is journaled.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
AllShards = Annotated[bool, typer.Option("--all-shards", help="On every shard of the cluster.")]
Within = Annotated[float, typer.Option(min=0.01, max=50, help="Seconds to wait for the other shards' answers.")]


@control.command()
@connecting
def kill(
    connection: Connection,
    scope: Scope,
    subject: Subject = "",
    reason: Reason = "",
    all_shards: AllShards = False,
    within: Within = 5.0,
) -> None:
    """Stop it now: no order passes, and every open one is cancelled. Exit code 1 when a shard did not confirm."""
    request = api.KillRequest(
        scope=scope_of(scope), id=subject, reason=reason, all_shards=all_shards, within_ms=round(within * 1000)
    )
    report = connection.call("Kill", request)
    queued = f", {report.queued_orders} of them once the phase allows it" if report.queued_orders else ""
    typer.echo(f"killed {scope} {subject}".rstrip() + f": {report.total_affected_orders} orders cancelled{queued}")
    tell_shards(report)


@control.command()
@connecting
def unkill(
    connection: Connection, scope: Scope, subject: Subject = "", reason: Reason = "", all_shards: AllShards = False
) -> None:
    """Propose to let it trade again; another person approves."""
    request = api.KillRequest(scope=scope_of(scope), id=subject, reason=reason, all_shards=all_shards)
    tell_proposal(connection.call("Unkill", request))


@connecting
def handover(connection: Connection, reason: Reason = "") -> None:
    """Hand the shard to its standby, for an upgrade: orders are served there from then on, and this process ends."""
    report = connection.call("HandOver", api.HandOverRequest(reason=reason))
    typer.echo(f"handed over in {report.took_ns / 1e6:.1f} ms: orders are served at {report.address}")


@control.command()
@connecting
def levels(connection: Connection, as_json: Json = False) -> None:
    """Whom a response level or a kill binds, and why."""
    answer = connection.call("ListLevels", api.ListLevelsRequest())
    rows = [
        (
            scope_name(row.scope),
            " ".join((row.id, row.symbol)),
            f"L{row.level}",
            "killed" if row.killed else "",
            " ".join(row.mask),
            moment(row.until_ns),
            row.rule or row.by,
            row.reason,
        )
        for row in answer.levels
    ]
    show(answer, ("scope", "id", "level", "", "mask", "until", "by", "reason"), rows, as_json)


@control.command()
@connecting
def level(
    connection: Connection,
    scope: Scope,
    subject: Annotated[str, typer.Argument(help="Its id; - for the firm.")],
    to: Annotated[int, typer.Argument(min=1, max=7, help="1 to 7.")],
    reason: Reason = "",
    mask: Annotated[list[str] | None, typer.Option(help="Of level 4: no_buy, no_sell, no_market, ...")] = None,
    throttle: Annotated[int, typer.Option(min=0, help="Of level 3: new orders a second.")] = 0,
    hold_s: Annotated[int, typer.Option(min=0, help="Seconds until it steps down; 0: until released.")] = 0,
    symbol: Annotated[str, typer.Option(help="In one instrument only: 600519.XSHG.")] = "",
) -> None:
    """Raise a subject's response level."""
    code, _, venue = symbol.partition(".")
    state = connection.call(
        "SetLevel",
        api.SetLevelRequest(
            scope=scope_of(scope),
            id="" if subject == "-" else subject,
            level=to,
            mask=mask or (),
            throttle_per_s=throttle,
            hold_s=hold_s,
            symbol=code,
            security_exchange=venue,
            reason=reason,
        ),
    )
    typer.echo(f"{scope} {subject} stands at L{state.level}")


@control.command()
@connecting
def release(
    connection: Connection,
    scope: Scope,
    subject: Subject = "",
    reason: Reason = "",
    to: Annotated[int, typer.Option(min=0, max=6, help="The level it goes down to.")] = 0,
    symbol: Annotated[str, typer.Option(help="In one instrument only: 600519.XSHG.")] = "",
) -> None:
    """Lower a response level; from L6 on another person approves."""
    code, _, venue = symbol.partition(".")
    tell_proposal(
        connection.call(
            "ReleaseLevel",
            api.ReleaseLevelRequest(
                scope=scope_of(scope), id=subject, to_level=to, symbol=code, security_exchange=venue, reason=reason
            ),
        )
    )


@control.command()
@connecting
def proposals(connection: Connection, as_json: Json = False) -> None:
    """What waits for a second person."""
    answer = connection.call("ListProposals", api.ListProposalsRequest())
    rows = [
        (str(row.id), api.ProposalKind.Name(row.kind), row.by, moment(row.expires_ns), what_of(row), row.reason)
        for row in answer.proposals
    ]
    show(answer, ("id", "kind", "by", "lapses", "what", "reason"), rows, as_json)


@control.command()
@connecting
def approve(connection: Connection, proposal: int, reason: Reason = "", within: Within = 5.0) -> None:
    """Approve another person's proposal. Exit code 1 when it is for all shards, and one did not confirm."""
    request = api.ProposalDecision(proposal=proposal, reason=reason, within_ms=round(within * 1000))
    tell_proposal(connection.call("Approve", request))


@control.command()
@connecting
def refuse(connection: Connection, proposal: int, reason: Reason = "") -> None:
    """Refuse a proposal, or take one's own back."""
    tell_proposal(connection.call("Refuse", api.ProposalDecision(proposal=proposal, reason=reason)))


@control.command()
@connecting
def tickets(
    connection: Connection,
    as_json: Json = False,
    close: Annotated[int, typer.Option(min=0, help="Close this one, with --reason.")] = 0,
    every: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    reason: Reason = "",
) -> None:
    """Manual reviews: list them, or close one."""
    if close:
        connection.call("CloseTicket", api.CloseTicketRequest(ticket=close, reason=reason))
        typer.echo(f"closed review {close}")
        return
    answer = connection.call("ListTickets", api.ListTicketsRequest(with_closed=every))
    rows = [
        (
            str(row.ticket),
            scope_name(row.scope),
            row.id,
            "open" if row.is_open else "closed",
            moment(row.time_ns),
            row.by,
            row.reason,
        )
        for row in answer.tickets
    ]
    show(answer, ("ticket", "scope", "id", "", "since", "by", "reason"), rows, as_json)


@control.command()
@connecting
def suspended(connection: Connection, as_json: Json = False) -> None:
    """Orders that wait for a confirmation."""
    answer = connection.call("ListSuspended", api.ListSuspendedRequest())
    rows = [
        (
            str(row.order_id),
            row.account,
            row.cl_ord_id,
            f"{row.side} {row.order_qty_shares} {row.symbol}",
            row.code,
            moment(row.confirm_by_ns),
        )
        for row in answer.orders
    ]
    show(answer, ("order", "account", "cl_ord_id", "what", "waits for", "until"), rows, as_json)


@control.command()
@connecting
def confirm(
    connection: Connection,
    account: str,
    cl_ord_id: str,
    reason: Reason = "",
    deny: Annotated[bool, typer.Option("--deny", help="Refuse it instead.")] = False,
) -> None:
    """Confirm (or deny) a suspended order; it is judged again."""
    method = "DenySuspended" if deny else "ConfirmSuspended"
    answer = connection.call(method, api.SuspendedDecision(account=account, cl_ord_id=cl_ord_id, reason=reason))
    if answer.reject_code and not deny:
        typer.echo(f"tidegate: error: {account} {cl_ord_id} is confirmed, but refused: {answer.text}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{account} {cl_ord_id} is {'denied' if deny else 'confirmed'}: {answer.ord_status}")


@control.command()
@connecting
def exposure(connection: Connection, scope: Scope, subject: Subject = "", as_json: Json = False) -> None:
    """Notional open and filled, against its limits."""
    answer = connection.call("GetExposure", api.SubjectRequest(scope=scope_of(scope), id=subject))
    rows = [
        (
            row.code,
            row.scope,
            yuan(row.used),
            yuan(row.limit),
            f"{100 * row.used / row.limit:.1f} %" if row.limit else "",
        )
        for row in answer.limits
    ]
    show(answer, ("code", "scope", "used, yuan", "limit, yuan", "used"), rows, as_json)


@control.command()
@connecting
def explain(
    connection: Connection,
    account: str,
    cl_ord_id: Annotated[str, typer.Argument(help="An order's; empty: the account itself.")] = "",
) -> None:
    """Why an order was decided so, or why an account is restricted; JSON."""
    if cl_ord_id:
        request = api.ExplainOrderRequest(account=account, cl_ord_id=cl_ord_id)
        typer.echo(as_text(connection.call("ExplainOrder", request)))
    else:
        request = api.SubjectRequest(scope=api.ACCOUNT, id=account)
        typer.echo(as_text(connection.call("ExplainAccount", request)))


@control.command()
@connecting
def status(connection: Connection) -> None:
    """The shard in one look; JSON."""
    typer.echo(as_text(connection.call("GetStatus", api.GetStatusRequest())))


@control.command()
@connecting
def topology(connection: Connection, as_json: Json = False) -> None:
    """Where every shard is, and how it does."""
    answer = connection.call("GetTopology", api.GetTopologyRequest())
    rows = [
        (
            str(row.shard),
            row.address,
            row.control_address,
            f"{row.owner} {row.epoch}" if row.owner else "",
            f"{row.standby} {row.standby_address}".strip(),
            " ".join(f"{link.security_exchange} {'up' if link.is_up else 'down'}" for link in row.links),
            str(row.accounts) if row.is_heard else "",
            str(row.open_orders) if row.is_heard else "",
            str(row.lag_bytes) if row.is_heard else "",
            "" if row.is_heard else f"silent since {moment(row.heard_ns) or 'its start'}",
        )
        for row in answer.shards
    ]
    columns = ("shard", "orders at", "control", "owner, epoch", "standby", "links", "accounts", "open", "lag, bytes")
    show(answer, (*columns, ""), rows, as_json)
    if not as_json:
        stale = f"; Redis is away, this is of {moment(answer.as_of_ns)}" if answer.is_stale else ""
        moved = f", {answer.moved_accounts} accounts moved"
        typer.echo(f"cluster {answer.cluster}, version {answer.version}, {len(answer.slots)} slots{moved}{stale}")


@control.command()
@connecting
def move(
    connection: Connection,
    account: str,
    to: Annotated[int, typer.Option(min=0, max=1295, help="The shard it goes to.")],
    reason: Reason = "",
) -> None:
    """Move an account to another shard, with its day; its open orders are cancelled."""
    done = connection.call("MoveAccount", api.MoveAccountRequest(account=account, to_shard=to, reason=reason))
    typer.echo(f"{account} lives at shard {done.to_shard}, {done.address}; before at {done.from_shard}")


@control.command()
@connecting
def alerts(
    connection: Connection,
    after: Annotated[int, typer.Option(min=0, help="Only newer ones than this number.")] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come, over restarts too.")] = False,
) -> None:
    """The day's alerts, one line of JSON each."""
    print_alerts(connection, after, follow)


def print_alerts(connection: Connection, after: int, follow: bool) -> None:
    """Each alert once, in order; with `follow` until the command is stopped."""
    if not follow:
        newest = connection.call("GetStatus", api.GetStatusRequest()).newest_alert_seq
    while follow or after < newest:
        try:
            with connection.stub() as stub:
                for alert in stub.Alerts(api.AlertsRequest(after_seq=after), metadata=connection.metadata()):
                    typer.echo(alert_line(alert))
                    after = alert.alert_seq
                    if not follow and after >= newest:
                        return
        except typer.Exit:
            if not follow:
                raise
            time.sleep(AGAIN_S)


def alert_line(alert: api.Alert) -> str:
    """One line of JSON. A hit says in words whether it was enforced, and shows factors and limits of 0 as well."""
    if alert.kind != "HIT":
        return as_text(alert, indent=None)
    row: dict[str, Any] = MessageToDict(
        alert, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps({name: value for name, value in row.items() if name in OF_HITS or value}, ensure_ascii=False)


def scope_of(name: str) -> api.ControlScope:
    if name not in SCOPES:
        raise SettingError(f"scope: got {name!r}, expected one of {', '.join(SCOPES)}")
    return SCOPES[name]


def scope_name(scope: int) -> str:
    return next((name for name, number in SCOPES.items() if number == scope), "")


def what_of(proposal: api.Proposal) -> str:
    if proposal.kind == api.RULES:
        return f"{proposal.rule_set_id} {proposal.sha256[:12]}, {len(proposal.changes)} changes"
    return f"{scope_name(proposal.scope)} {proposal.subject}".strip()


def tell_proposal(proposal: api.Proposal) -> None:
    """What became of a request, in a line or a few. A FAULTY one ends the command with its errors and exit code 1."""
    if proposal.state == api.FAULTY:
        for error in proposal.errors:
            typer.echo(f"tidegate: error: {error}", err=True)
        raise typer.Exit(1)
    for change in proposal.changes:
        typer.echo(f"  {change}")
    number = f" as rule set {proposal.number}" if proposal.number else ""
    texts = {
        api.WAITING: f"proposal {proposal.id} waits for another person until {moment(proposal.expires_ns)}",
        api.IN_FORCE: f"in force{number}" if proposal.kind == api.RULES else "done",
        api.REFUSED: f"proposal {proposal.id} is refused",
        api.LAPSED: f"proposal {proposal.id} lapsed",
    }
    typer.echo(texts[proposal.state])
    tell_shards(proposal)


def tell_shards(answer: Any) -> None:
    """What each shard said, a line each; exit code 1 unless all confirmed. Nothing of what was meant for one."""
    for row in answer.shards:
        what = row.state.replace("_", " ")
        orders = f", {row.total_affected_orders} orders cancelled" if row.total_affected_orders else ""
        typer.echo(f"  shard {row.shard:02d}: {what}{orders}" + (f": {row.reason}" if row.reason else ""))
    confirmed = sum(row.state == "confirmed" for row in answer.shards)
    elsewhere = sum(row.state == "not_here" for row in answer.shards)
    if answer.shards and answer.all_confirmed_us == 0:
        typer.echo(f"tidegate: error: {confirmed} of {len(answer.shards) - elsewhere} shards confirmed", err=True)
        raise typer.Exit(1)
    if answer.shards:
        typer.echo(f"confirmed by all {confirmed} in {answer.all_confirmed_us / 1000:.1f} ms")


def moment(time_ns: int) -> str:
    """Time of day in Shanghai; empty for 0."""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).astimezone(SHANGHAI).strftime("%H:%M:%S") if time_ns else ""


def yuan(amount_e4: int) -> str:
    return f"{amount_e4 / 10_000:,.2f}"


def as_text(message: Message, indent: int | None = 2) -> str:
    """A message as JSON under its own field names; 64-bit numbers stay strings, as protobuf's JSON has them."""
    row: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps(row, ensure_ascii=False, indent=indent)


def show(message: Message, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], as_json: bool) -> None:
    if as_json:
        typer.echo(as_text(message))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table if rows else "none")
