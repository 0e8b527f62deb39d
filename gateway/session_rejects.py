"""The SessionRejects of a stream, and how it ends with one. Decides nothing."""

from typing import Any

from ext.rpc import Status
from gateway.pb import order_entry_pb2 as pb

NOT_OWNER = "R1614 NOT_OWNER redirect="
WRONG_SHARD = "R1610 WRONG_SHARD redirect="  # and host:port, in the text of a status too


class Refused(Exception):
    """A log-on that is over. The arguments are those of a fatal SessionReject: code, field, value, expected; status."""

    def __init__(
        self, code: str, field: str, value: str, expected: str, status: int = Status.FAILED_PRECONDITION
    ) -> None:
        super().__init__(code, field, value, expected)
        self.code, self.field, self.value, self.expected, self.status = code, field, value, expected, int(status)


def refuse(session: Any, why: Refused) -> None:
    """A log-on that is over."""
    reject(session, why.code, why.field, why.value, why.expected, fatal=True, status=why.status)


def reject(
    session: Any,
    code: str,
    field: str,
    value: str,
    expected: str,
    *,
    fatal: bool = False,
    status: int = Status.FAILED_PRECONDITION,
) -> None:
    """A SessionReject; a fatal one ends the stream with `status` behind it."""
    text = f"{code} {field}: got {value}, expected {expected}"
    message = pb.SessionReject(reject_code=code, field=field, value=value, expected=expected, text=text, fatal=fatal)
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    if fatal:
        session.end(int(status), text)


def reject_elsewhere(session: Any, redirect: str, accounts: list[str], field: str, *, fatal: bool) -> None:
    """A SessionReject for accounts that live at the shard of `redirect`; a fatal one ends the stream."""
    text = f"{WRONG_SHARD}{redirect}"
    message = pb.SessionReject(
        reject_code="R1610", field=field, text=text, fatal=fatal, redirect=redirect, accounts=accounts,
        value=accounts[0], expected="accounts of this shard",
    )
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    if fatal:
        session.end(int(Status.FAILED_PRECONDITION), text)


def end_away(session: Any, redirect: str) -> None:
    """Ends a session: another process owns this shard, and serves it at `redirect`."""
    text = f"{NOT_OWNER}{redirect}"
    message = pb.SessionReject(reject_code="R1614", text=text, fatal=True, redirect=redirect)
    session.send(pb.ServerMessage(session_reject=message).SerializeToString())
    session.end(int(Status.UNAVAILABLE), text)
