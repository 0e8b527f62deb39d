"""The exchange's sessions, cold half: logon, heartbeats, platform state, report synchronisation, the day's end.

Sees no order and no report; those stay between `loadtest.venue_session` and the matching engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from ext.clock import utc_now_ns
from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire
from loadtest.venue_session import Desk, ExchangeSession, Member

VENUES = {"XSHG": 1, "XSHE": 2}
TICK_S = 0.05
MISSED_HEARTBEATS = 2
HEART_BT_INT_S = (1, 60)

STATUS_LOGGED_OUT = 4
STATUS_CREDENTIALS = 5
STATUS_DUPLICATE = 101
STATUS_VERSION = 102
STATUS_TRADE_DATE = 103
STATUS_HEART_BT_INT = 104
STATUS_HEARTBEAT_MISSED = 105
STATUS_PROTOCOL = 106

SSE_EXEC_RPT_SYNC = 206
SSE_EXEC_RPT_SYNC_RSP = 207
SSE_EXEC_RPT_GROUPS = 208  # ExecRptInfo
SSE_PLATFORM_STATE = 209
SSE_EXEC_RPT_END_OF_STREAM = 210
SZSE_REPORT_SYNCHRONIZATION = 5
SZSE_PLATFORM_STATE = 6
SZSE_REPORT_FINISHED = 7
SZSE_PLATFORM_PARTITIONS = 9  # PlatformInfo


class MemberConfig(msgspec.Struct, frozen=True):
    """One CompID that may log on, and the PBU it trades for. XSHG has no password in its Logon: leave it empty."""

    comp_id: str
    pbu: str
    password: str = ""


class RefusedError(Exception):
    """Ends a session with a Logout that says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class VenueAcceptor:
    """Serves one exchange's order entry port; subclasses know its session messages.

    desk: where orders go; members: who may log on; comp_id: the exchange's own; trade_date: YYYYMMDD.
    """

    venue: str
    prtc_version: str
    logon_within_s = 5.0

    def __init__(self, desk: Desk, members: list[MemberConfig], comp_id: str, trade_date: int,
                 log: Callable[..., None]) -> None:
        self.desk = desk
        self.comp_id = comp_id
        self.trade_date = trade_date
        self.log = log
        self.configs = {config.comp_id: config for config in members}
        if len(self.configs) != len(members):
            raise ValueError("members: comp_id must be unique")
        self.members: dict[str, Member] = {
            config.comp_id: desk.add_member(config.pbu, self.new_wire(config.pbu)) for config in members}
        self.sessions: set[ExchangeSession] = set()
        self.server: asyncio.Server | None = None
        self.day_ended = False
        self.ticker: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(self.new_session, host, port)
        self.ticker = loop.create_task(self.tick())
        bound: int = self.server.sockets[0].getsockname()[1]
        self.log("venue_listening", venue=self.venue, host=host, port=bound)
        return bound

    async def stop(self) -> None:
        """Log every member out and close the port."""
        if self.server is None or self.ticker is None:
            return
        self.server.close()
        self.ticker.cancel()
        for session in list(self.sessions):
            self.log_out(session, STATUS_LOGGED_OUT, "exchange closes")
        with contextlib.suppress(asyncio.CancelledError):
            await self.ticker

    def set_platform_state(self, state: int) -> None:
        """0 not open, 1 pre-open, 2 open, 3 break, 4 closed; every live session is told."""
        self.desk.platform_state = state
        for session in self.live_sessions():
            self.send_platform_state(session)

    def end_day(self) -> None:
        """Tell every live session, and every one that synchronises later, that its report streams are complete."""
        self.day_ended = True
        for session in self.live_sessions():
            self.send_ends(session)

    def send_ends(self, session: ExchangeSession) -> None:
        for partition in self.partitions():
            self.send_end_of_stream(session, partition)

    def session_of(self, comp_id: str) -> ExchangeSession | None:
        """The live session of a CompID, for faults on demand: cut, hold, stop_reading, repeat_report, skip_report."""
        return self.members[comp_id].session

    def drop(self, comp_id: str) -> bool:
        """Cut the connection of a CompID now, without a Logout; False when there is none."""
        session = self.session_of(comp_id)
        if session is None:
            return False
        session.cut("dropped on demand")
        return True

    def delay(self, comp_id: str, seconds: float) -> None:
        """Send a CompID nothing for a while."""
        session = self.session_of(comp_id)
        if session is not None:
            session.hold(True)
            asyncio.get_running_loop().call_later(seconds, session.hold, False)

    # ---- one session

    def new_session(self) -> ExchangeSession:
        session = ExchangeSession(self.desk, self.new_wire(""))
        session.heart_bt_int_s = self.logon_within_s
        session.on_message = partial(self.on_message, session)
        session.on_closed = partial(self.on_closed, session)
        self.sessions.add(session)
        return session

    def on_closed(self, session: ExchangeSession, reason: str) -> None:
        self.sessions.discard(session)
        self.log("venue_session_closed", venue=self.venue, comp_id=session.comp_id, reason=reason)

    def on_message(self, session: ExchangeSession, msg_type: int, fields: dict[str, Any]) -> None:
        wire = session.wire
        if msg_type == wire.heartbeat_type:
            return
        try:
            if msg_type == wire.logout_type:
                self.log_out(session, STATUS_LOGGED_OUT, "")
            elif msg_type == wire.logon_type:
                self.log_on(session, fields)
            elif session.member is None:
                raise RefusedError(STATUS_PROTOCOL, f"{wire.name_of(msg_type)} before Logon")
            elif not self.take(session, msg_type, fields):
                raise RefusedError(STATUS_PROTOCOL, f"{wire.name_of(msg_type)}: not a message for an exchange")
            elif self.day_ended:
                self.send_ends(session)
        except RefusedError as refused:
            self.log_out(session, refused.status, refused.text)

    def log_on(self, session: ExchangeSession, fields: dict[str, Any]) -> None:
        """Bind the session to its member, or refuse with the first rule it breaks."""
        if session.member is not None:
            raise RefusedError(STATUS_PROTOCOL, "Logon: already logged on")
        comp_id = fields["sender_comp_id"]
        config = self.configs.get(comp_id)
        if config is None or fields.get("password", "") != config.password:
            raise RefusedError(STATUS_CREDENTIALS, "SenderCompID or Password: unknown")
        if fields["target_comp_id"] != self.comp_id:
            raise RefusedError(STATUS_CREDENTIALS, f"TargetCompID: {fields['target_comp_id']}, expected {self.comp_id}")
        self.check_logon(fields)
        low, high = HEART_BT_INT_S
        if not low <= fields["heart_bt_int"] <= high:
            raise RefusedError(STATUS_HEART_BT_INT, f"HeartBtInt: {fields['heart_bt_int']}, expected {low} to {high}")
        member = self.members[comp_id]
        if member.session is not None:
            raise RefusedError(STATUS_DUPLICATE, f"SenderCompID: {comp_id} has a live session")
        session.comp_id = comp_id
        session.heart_bt_int_s = fields["heart_bt_int"]
        session.bind(member)
        session.send(session.wire.logon_type, fields | {"sender_comp_id": self.comp_id, "target_comp_id": comp_id}
                     | ({"password": ""} if "password" in fields else {}))
        self.log("venue_session_live", venue=self.venue, comp_id=comp_id, pbu=config.pbu)
        self.send_platform_state(session)
        self.send_partitions(session, config.pbu)

    def log_out(self, session: ExchangeSession, status: int, text: str) -> None:
        session.send(session.wire.logout_type, {"session_status": status, "text": text[:64]})
        session.close(text or "logged out")

    async def tick(self) -> None:
        """Heartbeats both ways; a session that did not log on, or missed two, is cut."""
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = utc_now_ns()
            for session in list(self.sessions):
                interval_ns = int(session.heart_bt_int_s * 1e9)
                missed = 1 if session.member is None else MISSED_HEARTBEATS
                if now_ns - session.last_recv_ns > missed * interval_ns:
                    session.cut("no Logon" if session.member is None else "two heartbeats missed")
                elif session.member is not None and now_ns - session.last_sent_ns >= interval_ns:
                    session.send(session.wire.heartbeat_type, {})

    def live_sessions(self) -> list[ExchangeSession]:
        return [member.session for member in self.members.values() if member.session is not None]

    def partitions(self) -> range:
        return range(1, self.desk.partition_count + 1)

    # ---- what differs between the exchanges

    def new_wire(self, pbu: str) -> Any:
        raise NotImplementedError

    def check_logon(self, fields: dict[str, Any]) -> None:
        raise NotImplementedError

    def take(self, session: ExchangeSession, msg_type: int, fields: dict[str, Any]) -> bool:
        """Act on a session message other than Logon, Logout, Heartbeat; False when the exchange does not take it."""
        raise NotImplementedError

    def send_platform_state(self, session: ExchangeSession) -> None:
        raise NotImplementedError

    def send_partitions(self, session: ExchangeSession, pbu: str) -> None:
        raise NotImplementedError

    def send_end_of_stream(self, session: ExchangeSession, partition: int) -> None:
        raise NotImplementedError


class ShanghaiAcceptor(VenueAcceptor):
    """XSHG: TDGW binary."""

    venue = "XSHG"
    prtc_version = "1.00"

    def new_wire(self, pbu: str) -> Any:
        return SseWire(pbu, self.trade_date)

    def check_logon(self, fields: dict[str, Any]) -> None:
        if fields["prtc_version"] != self.prtc_version:
            raise RefusedError(STATUS_VERSION, f"PrtcVersion: {fields['prtc_version']}, expected {self.prtc_version}")
        if fields["trade_date"] != self.trade_date:
            raise RefusedError(STATUS_TRADE_DATE, f"TradeDate: {fields['trade_date']}, expected {self.trade_date}")

    def take(self, session: ExchangeSession, msg_type: int, fields: dict[str, Any]) -> bool:
        if msg_type != SSE_EXEC_RPT_SYNC:
            return False
        answers = [self.synchronise(session, group) for group in fields["groups"]]
        session.send(SSE_EXEC_RPT_SYNC_RSP, {"groups": answers})
        return True

    def synchronise(self, session: ExchangeSession, group: dict[str, Any]) -> dict[str, Any]:
        """One entry of ExecRptSyncRsp; its stream has begun unless RejReason says otherwise."""
        answer = group | {"end_report_index": 0, "rej_reason": 0, "text": ""}
        if group["pbu"] != session.member.pbu:
            return answer | {"rej_reason": 1, "text": f"Pbu: {group['pbu']}, expected {session.member.pbu}"}
        try:
            return answer | {"end_report_index": session.synchronise(group["set_id"], group["begin_report_index"])}
        except ValueError as error:
            return answer | {"rej_reason": 2, "text": str(error)[:64]}

    def send_platform_state(self, session: ExchangeSession) -> None:
        session.send(SSE_PLATFORM_STATE, {"platform_id": 0, "platform_state": self.desk.platform_state})

    def send_partitions(self, session: ExchangeSession, pbu: str) -> None:
        session.send(SSE_EXEC_RPT_GROUPS, {"platform_id": 0, "pbus": [{"pbu": pbu}],
                           "set_ids": [{"set_id": partition} for partition in self.partitions()]})

    def send_end_of_stream(self, session: ExchangeSession, partition: int) -> None:
        session.send(SSE_EXEC_RPT_END_OF_STREAM, {"pbu": session.member.pbu, "set_id": partition,
                           "end_report_index": session.member.newest_index(partition)})


class ShenzhenAcceptor(VenueAcceptor):
    """XSHE: binary V5."""

    venue = "XSHE"
    prtc_version = "1.02"

    def new_wire(self, pbu: str) -> Any:
        return SzseWire(pbu)

    def check_logon(self, fields: dict[str, Any]) -> None:
        if fields["default_appl_ver_id"] != self.prtc_version:
            raise RefusedError(STATUS_VERSION,
                               f"DefaultApplVerID: {fields['default_appl_ver_id']}, expected {self.prtc_version}")

    def take(self, session: ExchangeSession, msg_type: int, fields: dict[str, Any]) -> bool:
        if msg_type != SZSE_REPORT_SYNCHRONIZATION:
            return False
        for entry in fields["partitions"]:
            try:
                session.synchronise(entry["partition_no"], entry["report_index"])
            except (ValueError, OverflowError) as error:
                raise RefusedError(STATUS_PROTOCOL, f"ReportSynchronization: {error}") from None
        return True

    def send_platform_state(self, session: ExchangeSession) -> None:
        session.send(SZSE_PLATFORM_STATE, {"platform_id": 1, "platform_state": self.desk.platform_state})

    def send_partitions(self, session: ExchangeSession, pbu: str) -> None:
        session.send(SZSE_PLATFORM_PARTITIONS, {
            "platform_id": 1, "partitions": [{"partition_no": partition} for partition in self.partitions()]})

    def send_end_of_stream(self, session: ExchangeSession, partition: int) -> None:
        session.send(SZSE_REPORT_FINISHED, {
            "partition_no": partition, "report_index": session.member.newest_index(partition), "platform_id": 1})


ACCEPTORS: dict[str, type[VenueAcceptor]] = {"XSHG": ShanghaiAcceptor, "XSHE": ShenzhenAcceptor}
