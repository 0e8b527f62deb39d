"""The session with one exchange: connect, log on, synchronise, stay alive, come back. Sees no order and no report.

`READY` means that every report the exchange had for us has been applied, so that what the engine believes is what the
exchange believes. Shanghai names the last report of each partition (ExecRptSyncRsp.EndReportIndex), and READY waits for
exactly those. Shenzhen names none. There READY comes with the first of: no report for `quiet_s` after
ReportSynchronization was sent; a report whose TransactTime is not older than that; `sync_limit_s`, when neither happens
because reports of resting orders never pause. Coming early is safe, never wrong: an order in doubt that is resent keeps
its ClOrdID, and the exchange refuses a ClOrdID that it has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import random
from collections.abc import Callable
from typing import Any

import msgspec

from ext.clock import utc_now_ns
from ext.venue_link import VenueLink

TICK_S = 0.05
POLL_S = 0.005
MISSED_HEARTBEATS = 2
STATUS_LOGGED_OUT = 4

SSE_EXEC_RPT_SYNC = 206
SSE_EXEC_RPT_SYNC_RSP = 207
SSE_EXEC_RPT_GROUPS = 208  # ExecRptInfo
SSE_EXEC_RPT_END_OF_STREAM = 210
SZSE_REPORT_SYNCHRONIZATION = 5
SZSE_REPORT_FINISHED = 7
SZSE_PLATFORM_PARTITIONS = 9  # PlatformInfo


class LinkState(enum.StrEnum):
    DOWN = "DOWN"
    LOGGING_ON = "LOGGING_ON"
    SYNCING = "SYNCING"
    READY = "READY"


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where an exchange is and who we are to it."""

    venue: str                         # XSHG or XSHE
    host: str
    port: int
    sender_comp_id: str
    target_comp_id: str
    pbu: str
    password: str = ""                 # XSHE only
    trade_date: int = 0                # YYYYMMDD, XSHG only
    prtc_version: str = ""             # empty: the version this code speaks
    heart_bt_int_s: int = 3
    connect_within_s: float = 3.0
    retry_s: float = 0.1               # first pause before a new attempt; doubles up to retry_limit_s
    retry_limit_s: float = 5.0
    quiet_s: float = 0.2               # XSHE only, see above
    sync_limit_s: float = 5.0          # XSHE only, see above


class SessionEndedError(Exception):
    """The session cannot go on; its text is the reason."""


class VenueSession:
    """Keeps one link up; a subclass knows its exchange's session messages.

    next_report_index: partition -> the ReportIndex the engine expects next (from 1).
    on_day_end: called with the venue when the exchange's last report of the day has been applied.
    on_state: called with (venue, state, reason) at every change. log: an event and its fields, never per order.
    """

    prtc_version: str
    end_of_reports_type: int

    def __init__(self, config: VenueConfig, link: VenueLink, next_report_index: Callable[[int], int],
                 on_state: Callable[[str, LinkState, str], None], log: Callable[..., None],
                 on_day_end: Callable[[str], None] = lambda venue: None) -> None:
        self.config = config
        self.link = link
        self.next_report_index = next_report_index
        self.on_state = on_state
        self.log = log
        self.on_day_end = on_day_end
        self.state = LinkState.DOWN
        self.platform_state = 0
        self.stopping = False
        self.inbox: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue()
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.wake = asyncio.Event()
        link.on_message = self.on_message
        link.on_closed = self.on_closed

    async def run(self) -> None:
        """Log on, and on again whenever the session ends, until `stop`."""
        pause_s = self.config.retry_s
        while not self.stopping:
            reason = await self.live_once()
            if self.state is LinkState.READY:
                pause_s = self.config.retry_s
            self.enter(LinkState.DOWN, reason)
            # Jitter, so that shards that lost the exchange together do not come back together.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, self.config.retry_limit_s)

    async def stop(self) -> None:
        """Log out, wait for the exchange to close for at most a second, and end `run`."""
        self.stopping = True
        self.wake.set()
        if not self.link.connected:
            return
        self.link.ready = False
        self.link.send(self.link.wire.logout_type, {"session_status": STATUS_LOGGED_OUT, "text": "gateway stops"})
        await asyncio.wait({self.closed}, timeout=1.0)
        self.link.close("logged out")

    async def live_once(self) -> str:
        """One connection from beginning to end; returns why it ended."""
        self.enter(LinkState.LOGGING_ON, f"{self.config.host}:{self.config.port}")
        loop = asyncio.get_running_loop()
        self.inbox = asyncio.Queue()
        self.closed = loop.create_future()
        try:
            async with asyncio.timeout(self.config.connect_within_s):
                await loop.create_connection(lambda: self.link, self.config.host, self.config.port)
        except (OSError, TimeoutError) as error:
            self.link.cut("connected too late")
            return f"cannot connect to {self.config.host}:{self.config.port}: {error or 'no answer'}"
        script = loop.create_task(self.follow_script())
        beats = loop.create_task(self.beat())
        ends: set[asyncio.Future[Any]] = {script, self.closed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not self.closed.done():
            self.link.close(str(script.exception()))
        reason = await self.closed
        for task in (script, beats):
            task.cancel()
        await asyncio.gather(script, beats, return_exceptions=True)
        return reason

    async def follow_script(self) -> None:
        """A session as the exchange's manual tells it; ends only by an exception."""
        if self.stopping:
            raise SessionEndedError("stopped while connecting")
        partitions = await self.log_on()
        self.enter(LinkState.SYNCING, f"partitions {partitions}")
        await self.synchronise(partitions)
        self.link.ready = True
        self.enter(LinkState.READY, "reports synchronised")
        await self.listen(set(partitions))

    async def listen(self, unfinished: set[int]) -> None:
        """Session messages until the connection ends. Once every partition's reports are said to be complete, and the
        engine has them all, the day is over at this exchange."""
        while True:
            msg_type, fields = await self.receive()
            if msg_type != self.end_of_reports_type:
                continue
            partition, newest = self.end_of_reports(fields)
            while self.next_report_index(partition) <= newest:
                await asyncio.sleep(POLL_S)
            unfinished.discard(partition)
            if not unfinished:
                self.on_day_end(self.config.venue)

    async def log_on(self) -> list[int]:
        """The report partitions of the session, told after the exchange's own Logon."""
        try:
            async with asyncio.timeout(self.config.heart_bt_int_s):
                self.link.send(self.link.wire.logon_type, self.logon_fields())
                await self.expect(self.link.wire.logon_type)
                return await self.learn_partitions()
        except TimeoutError:
            raise SessionEndedError(f"logon not completed within {self.config.heart_bt_int_s} s") from None

    async def beat(self) -> None:
        """Heartbeats both ways."""
        interval_ns = self.config.heart_bt_int_s * 1_000_000_000
        while True:
            await asyncio.sleep(TICK_S)
            now_ns = utc_now_ns()
            if now_ns - self.link.last_recv_ns > MISSED_HEARTBEATS * interval_ns:
                self.link.cut("two heartbeats missed")
            elif now_ns - self.link.last_sent_ns >= interval_ns:
                self.link.send(self.link.wire.heartbeat_type, {})

    # ---- messages

    def on_message(self, msg_type: int, fields: dict[str, Any]) -> None:
        if msg_type == self.link.wire.logout_type:
            # At once, before the end of the connection that follows it can hide the reason.
            self.link.close(f"exchange logged us out: status {fields['session_status']}, {fields['text'] or 'no text'}")
        elif msg_type != self.link.wire.heartbeat_type:
            self.inbox.put_nowait((msg_type, fields))

    def on_closed(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)

    async def receive(self) -> tuple[int, dict[str, Any]]:
        """The next session message other than Heartbeat and Logout."""
        msg_type, fields = await self.inbox.get()
        if "platform_state" in fields:
            self.platform_state = fields["platform_state"]
        self.log("venue_message", venue=self.config.venue, message=self.link.wire.name_of(msg_type), **fields)
        return msg_type, fields

    async def expect(self, wanted: int) -> dict[str, Any]:
        """The next message of this type; platform states in between are noted, anything else ends the session."""
        while True:
            msg_type, fields = await self.receive()
            if msg_type == wanted:
                return fields
            if "platform_state" not in fields:
                name = self.link.wire.name_of
                raise SessionEndedError(f"{name(msg_type)} received, expected {name(wanted)}")

    def enter(self, state: LinkState, reason: str) -> None:
        if state is self.state and state is not LinkState.DOWN:
            return
        self.state = state
        self.log("venue_link", venue=self.config.venue, state=state.value, reason=reason)
        self.on_state(self.config.venue, state, reason)

    # ---- what differs between the exchanges

    def logon_fields(self) -> dict[str, Any]:
        raise NotImplementedError

    def end_of_reports(self, fields: dict[str, Any]) -> tuple[int, int]:
        """(partition, its last report index) of an end-of-reports message."""
        raise NotImplementedError

    async def learn_partitions(self) -> list[int]:
        raise NotImplementedError

    async def synchronise(self, partitions: list[int]) -> None:
        raise NotImplementedError


class ShanghaiSession(VenueSession):
    """XSHG: TDGW binary."""

    prtc_version = "1.00"
    end_of_reports_type = SSE_EXEC_RPT_END_OF_STREAM

    def end_of_reports(self, fields: dict[str, Any]) -> tuple[int, int]:
        return fields["set_id"], fields["end_report_index"]

    def logon_fields(self) -> dict[str, Any]:
        config = self.config
        return {"sender_comp_id": config.sender_comp_id, "target_comp_id": config.target_comp_id,
                "heart_bt_int": config.heart_bt_int_s, "prtc_version": config.prtc_version or self.prtc_version,
                "trade_date": config.trade_date, "q_size": 0}

    async def learn_partitions(self) -> list[int]:
        groups = await self.expect(SSE_EXEC_RPT_GROUPS)
        pbus = [entry["pbu"] for entry in groups["pbus"]]
        if self.config.pbu not in pbus:
            raise SessionEndedError(f"ExecRptInfo.Pbu: {pbus}, expected {self.config.pbu} among them")
        return [entry["set_id"] for entry in groups["set_ids"]]

    async def synchronise(self, partitions: list[int]) -> None:
        """Ask for what is missing; done when the engine is past every EndReportIndex of the answer."""
        self.link.send(SSE_EXEC_RPT_SYNC, {"groups": [
            {"pbu": self.config.pbu, "set_id": partition, "begin_report_index": self.next_report_index(partition)}
            for partition in partitions]})
        ends: dict[int, int] = {}
        while ends.keys() < set(partitions):
            for group in (await self.expect(SSE_EXEC_RPT_SYNC_RSP))["groups"]:
                if group["rej_reason"] != 0:
                    raise SessionEndedError(
                        f"ExecRptSync of SetID {group['set_id']} refused: {group['rej_reason']}, {group['text']}")
                ends[group["set_id"]] = group["end_report_index"]
        while any(self.next_report_index(partition) <= end for partition, end in ends.items()):
            await asyncio.sleep(POLL_S)


class ShenzhenSession(VenueSession):
    """XSHE: binary V5."""

    prtc_version = "1.02"
    end_of_reports_type = SZSE_REPORT_FINISHED

    def end_of_reports(self, fields: dict[str, Any]) -> tuple[int, int]:
        return fields["partition_no"], fields["report_index"]

    def logon_fields(self) -> dict[str, Any]:
        config = self.config
        return {"sender_comp_id": config.sender_comp_id, "target_comp_id": config.target_comp_id,
                "heart_bt_int": config.heart_bt_int_s, "password": config.password,
                "default_appl_ver_id": config.prtc_version or self.prtc_version}

    async def learn_partitions(self) -> list[int]:
        return [entry["partition_no"] for entry in (await self.expect(SZSE_PLATFORM_PARTITIONS))["partitions"]]

    async def synchronise(self, partitions: list[int]) -> None:
        """Ask for what is missing; done when the stream is quiet or live (see the module's docstring)."""
        self.link.send(SZSE_REPORT_SYNCHRONIZATION, {"partitions": [
            {"partition_no": partition, "report_index": self.next_report_index(partition)}
            for partition in partitions]})
        sent_ns = utc_now_ns()
        quiet_ns, limit_ns = int(self.config.quiet_s * 1e9), int(self.config.sync_limit_s * 1e9)
        while True:
            await asyncio.sleep(POLL_S)
            now_ns = utc_now_ns()
            if now_ns - max(sent_ns, self.link.last_report_ns) >= quiet_ns or self.link.last_transact_ns >= sent_ns:
                return
            if now_ns - sent_ns >= limit_ns:
                self.log("venue_sync_never_quiet", venue=self.config.venue, after_s=self.config.sync_limit_s)
                return


SESSIONS: dict[str, type[VenueSession]] = {"XSHG": ShanghaiSession, "XSHE": ShenzhenSession}
