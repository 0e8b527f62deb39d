"""Logging on in slices: what a Logon may hold, who is turned away, how long one holds the loop; over real sockets."""

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager
from unittest.mock import patch

import msgspec
import pytest
import uvloop
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ext import sweeps, tape
from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.codes import PHASES
from ext.logon import LogonReader, logon_of
from ext.rpc import RpcError, Status
from ext.session import Session, Stages
from gateway import logons, order_entry, transport
from gateway.errands import Errands
from gateway.logons import LogOn, Sessions
from gateway.order_entry import SERVICE, OrderEntry
from gateway.pb import order_entry_pb2 as pb
from loadtest.grpc_client import RequestHead, UnaryCall, connect
from loadtest.storm import StormSession
from tests.benchmarks import bench_core
from tests.conformance.raw import RawClient, message

texts = st.text(max_size=20)
logon_messages = st.builds(
    pb.Logon,
    token=texts,
    accounts=st.lists(st.builds(pb.AccountCursor, account=texts, last_event_seq=st.integers(0, 2**64 - 1)), max_size=5),
    cancel_on_disconnect=st.builds(pb.CancelOnDisconnect, enabled=st.booleans(), grace_ms=st.integers(0, 2**32 - 1)),
)
TOKEN = "bench"


def engine_of(folder, accounts):
    """An engine whose one token may trade every account."""
    usual = bench_core.limits

    def limits(count):
        token = msgspec.structs.replace(usual(1).tokens[0], token_sha256=hashlib.sha256(TOKEN.encode()).hexdigest(),
                                        account_indexes=tuple(range(count)))
        return msgspec.structs.replace(usual(count), tokens=(token,))

    with patch.object(bench_core, "limits", limits):
        built = bench_core.rig(folder, accounts, orders=4096, warm=False)
    built.session.log_off()
    return built.engine


def name(number):
    return f"A{number:07}"


# Reading


@given(logon_messages)
def test_a_logon_reads_as_protobuf_reads_it(logon):
    reader = LogonReader(logon.SerializeToString())
    assert reader.token == logon.token.encode()
    assert reader.count == len(logon.accounts)
    choice = logon.cancel_on_disconnect
    assert (reader.cancel_on_disconnect, reader.grace_ms) == (choice.enabled, choice.grace_ms)
    assert logon_of(pb.ClientMessage(logon=logon).SerializeToString()) == logon.SerializeToString()


@given(st.binary(max_size=60))
def test_any_octets_are_a_logon_or_refused_and_never_more(octets):
    """The accounts themselves are looked into later, and strings may hold what protobuf would not let pass as text."""
    try:
        reader = LogonReader(octets)
    except ValueError:
        with pytest.raises(DecodeError):
            pb.Logon.FromString(octets)
        return
    assert reader.count <= len(octets)


def test_only_a_plain_logon_is_one():
    order = pb.ClientMessage(new_order=pb.NewOrder(account="A"))
    twice = pb.ClientMessage(logon=pb.Logon(token="a")).SerializeToString() * 2
    assert [logon_of(octets) for octets in (b"", order.SerializeToString(), twice, b"\x0a\x05a")] == [None] * 4


# Logging on


class Site:
    """One gateway's door in this loop."""

    def __init__(self, folder, accounts, sessions=None, **choices):
        self.engine = engine_of(folder, accounts)
        self.errands = Errands()
        self.turn = Turn(asyncio.get_running_loop().call_soon)
        self.stages = Stages()
        self.logged = []
        self.orders = OrderEntry(self.engine, self.turn, self.stages, lambda event, **fields: self.logged.append(event),
                                 errands=self.errands, sessions=sessions or Sessions(), **choices)
        self.connections = []

    async def connect(self):
        turn = Turn(asyncio.get_running_loop().call_soon)
        self.connections.append(await connect(turn, "127.0.0.1", self.server.port))
        return self.connections[-1]

    async def log_on(self, accounts, heard=None, token=TOKEN):
        session = StormSession(await self.connect(), token, accounts, heard)
        await asyncio.wait_for(session.logged_on, 20)
        return session


@asynccontextmanager
async def site_of(folder, accounts=64, sessions=None, limits=None, **choices):
    site = Site(folder, accounts, sessions, **choices)
    site.server = await transport.serve(
        "native", site.orders.methods(), site.turn, "127.0.0.1", 0, errands=site.errands, limits=limits
    )
    sweeping = asyncio.create_task(site.orders.sweep())
    try:
        yield site
    finally:
        sweeping.cancel()
        for connection in site.connections:
            connection.close()
        await site.server.close()


async def until(holds, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def refused(site, accounts, token=TOKEN):
    """The SessionReject, and the status that came behind it."""
    heard = []
    session = StormSession(await site.connect(), token, accounts, heard)
    status, _ = await asyncio.wait_for(session.ended, 10)
    session.logged_on.exception()
    return pb.ServerMessage.FromString(heard[0][0]).session_reject, status


def test_a_thousand_accounts_are_answered_as_they_stand(tmp_path):
    async def main():
        async with site_of(tmp_path, 1000) as site:
            heard = []
            await site.log_on([name(number) for number in range(1000)], heard)
            ack = pb.ServerMessage.FromString(heard[0][0]).logon_ack
            assert [cursor.account for cursor in ack.accounts] == [name(number) for number in range(1000)]
            assert {cursor.last_event_seq for cursor in ack.accounts} == {0}
            assert ack.session_id == 1
            assert ack.max_orders_per_s > 0

    uvloop.run(main())


def test_the_largest_logon_holds_the_loop_for_a_moment_only(tmp_path):
    """65,536 accounts, read, watched, answered, reminded and left again: each step by itself."""

    async def main():
        site = Site(tmp_path, 65_536)
        site.turn = Turn(lambda run: None)
        session = Session(site.turn, site.engine, site.stages, site.orders, 1 << 23)
        logon = pb.Logon(token=TOKEN, accounts=[pb.AccountCursor(account=name(number)) for number in range(65_536)])
        coming = LogOn(session, logon.SerializeToString(), 1, site.engine, site.orders.sessions, site.errands,
                       site.orders.keep_orders, lambda session, why: pytest.fail(str(why)), site.orders.log)
        steps_us = timed(coming.step)
        assert session.accounts == list(range(65_536))
        assert not session.catching_up
        steps_us += timed(lambda: session.log_off(logons.ACCOUNTS_A_STEP))
        assert not site.engine.audience.watches_account(session, 5)
        return sorted(steps_us)

    steps_us = uvloop.run(main())
    assert len(steps_us) > 1500
    assert steps_us[-2] < 1500, steps_us[-10:]


def timed(step):
    """What each step costs of this thread's own time, us: a machine that is shared takes the core away now and then."""
    steps_us, done = [], False
    while not done:
        began = time.thread_time()
        done = step()
        steps_us.append((time.thread_time() - began) * 1e6)
    return steps_us


def test_too_many_sessions_are_turned_away_and_let_in_when_others_left(tmp_path):
    async def main():
        async with site_of(tmp_path, sessions=Sessions(most=3, most_of_port=2)) as site:
            first = await site.log_on([name(1)])
            await site.log_on([name(2)])
            reject, status = await refused(site, [name(3)])
            assert (reject.reject_code, reject.field, reject.fatal) == ("R1609", "sessions of this token", True)
            assert (reject.value, reject.expected, status) == ("3", "at most 2", Status.RESOURCE_EXHAUSTED)
            first.reset()
            await until(lambda: len(site.orders.sessions.admitted) == 1)
            await site.log_on([name(3)])
            assert sum(site.orders.sessions.logged_on_of.values()) == 2

    uvloop.run(main())


def test_an_account_is_watched_by_so_many_sessions_and_no_more(tmp_path):
    async def main():
        async with site_of(tmp_path) as site:
            sessions = [await site.log_on([name(1), name(at % 8 + 8)]) for at in range(64)]
            reject, _ = await refused(site, [name(9), name(1)])
            assert (reject.reject_code, reject.value) == ("R1609", name(1))
            # What the refused one had watched before is free again.
            await until(lambda: len(site.orders.sessions.admitted) == 64)
            sessions[5].reset()
            await until(lambda: not site.errands.running and len(site.orders.sessions.admitted) == 63)
            await site.log_on([name(1)])

    uvloop.run(main())


@pytest.mark.parametrize(("accounts", "code", "field"), [
    ([], "R1605", "accounts"),
    ([name(1), name(2), name(1)], "R1605", "accounts"),
    ([name(1), "nobody"], "R1001", "accounts"),
    ([(name(1), 7)], "R1605", "accounts.last_event_seq"),
])
def test_a_logon_that_is_wrong_leaves_nothing_behind(tmp_path, accounts, code, field):
    async def main():
        async with site_of(tmp_path) as site:
            reject, status = await refused(site, accounts)
            assert (reject.reject_code, reject.field, status) == (code, field, Status.FAILED_PRECONDITION)
            await until(lambda: not site.errands.running and not site.orders.sessions.admitted)
            assert [caller for caller in site.engine.audience.callers if caller is not None] == []
            await site.log_on([name(1)])

    uvloop.run(main())


def test_what_is_sent_right_behind_the_logon_is_taken_after_it(tmp_path):
    async def main():
        async with site_of(tmp_path) as site:
            heard = []
            session = StormSession(await site.connect(), TOKEN, [name(1)], heard)
            for number in range(40):
                session.send(pb.ClientMessage(heartbeat=pb.Heartbeat(time_ns=number)).SerializeToString())
            session.half_close()
            assert (await asyncio.wait_for(session.ended, 10))[0] == Status.OK
            kinds = [pb.ServerMessage.FromString(octets).WhichOneof("message") for octets, _ in heard]
            assert kinds == ["logon_ack"] + ["heartbeat"] * 40

    uvloop.run(main())


def test_a_flood_right_behind_the_logon_ends_the_stream(tmp_path):
    async def main():
        async with site_of(tmp_path, 2000) as site:
            session = StormSession(await site.connect(), TOKEN, [name(number) for number in range(2000)])
            beat = pb.ClientMessage(heartbeat=pb.Heartbeat(time_ns=1)).SerializeToString()
            for _ in range(40_000):
                session.send(beat)
            status, text = await asyncio.wait_for(session.ended, 10)
            assert (status, text) == (Status.RESOURCE_EXHAUSTED, "65536 octets came before the answer to the Logon")

    uvloop.run(main())


def test_a_stream_that_never_logs_on_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(logons, "LOGON_WITHIN_S", 0.3)

    async def main():
        async with site_of(tmp_path) as site:
            session = await site.log_on([name(1)])
            mute = StormSession(await site.connect(), None, [])
            assert (await asyncio.wait_for(mute.ended, 10))[0] == Status.DEADLINE_EXCEEDED
            assert not session.ended.done()
            assert site.logged[-1] == "never_logged_on"

    uvloop.run(main())


# The past


def resting(number, count):
    """Orders of one account that leave so many events behind."""
    for at in range(count):
        order = pb.NewOrder(cl_ord_id=f"o{at}", account=name(number), symbol="600007", security_exchange=1, side=1,
                            ord_type=1, order_qty_shares=100, price_e4=99_900)
        yield pb.ClientMessage(new_order=order).SerializeToString()


async def trade(site, number, count):
    """A session that sent orders, and what it heard."""
    now_ns = utc_now_ns()
    sweeps.set_phase(site.engine, 1, PHASES["CONTINUOUS"], now_ns)
    tape.quote(site.engine, 1, 600_007, now_ns, bid_px_e4=99_900, ask_px_e4=100_100, last_px_e4=100_000)
    heard = []
    session = await site.log_on([name(number)], heard)
    for octets in resting(number, count):
        session.send(octets)
    await until(lambda: session.events >= count)
    return session, sequences(heard)


def sequences(heard):
    """Account event sequences of the reports, in the order in which they came."""
    reports = [pb.ServerMessage.FromString(octets).execution_report for octets, _ in heard]
    return [report.event_seq for report in reports if report.event_seq]


def test_a_session_that_comes_back_in_slices_misses_and_repeats_nothing(tmp_path):
    """While it is being given the past, new events keep coming."""

    async def main():
        async with site_of(tmp_path) as site:
            busy, first = await trade(site, 1, 1000)
            assert first == list(range(1, 1001))
            heard = []
            back = StormSession(await site.connect(), TOKEN, [(name(1), 17)], heard)
            for at in range(1000, 1300):
                order = list(resting(1, at + 1))[-1] if at % 100 == 0 else None
                if order is not None:
                    busy.send(order)
                await asyncio.sleep(0)
            await until(lambda: back.events >= 1003 - 17)
            assert sequences(heard) == list(range(18, 1004))
            assert site.engine.audience.room.held == 0

    uvloop.run(main())


def test_more_old_events_than_a_session_may_hold_refuse_it(tmp_path):
    async def main():
        async with site_of(tmp_path) as site:
            await trade(site, 1, 4000)
            with patch.object(logons, "FRAMES_A_STEP", 10):
                session = Session(site.turn, site.engine, site.stages, None)
                session.log_on(0, {1: 0})
                assert not session.catch_up(100)
                assert 64 <= site.engine.audience.room.held <= 128
                session.log_off()
                assert site.engine.audience.room.held == 0

    uvloop.run(main())


def never_reads(site, number):
    """A session whose client grants no window: nothing of what it is told leaves the gateway."""
    client = RawClient(site.server.port, INITIAL_WINDOW_SIZE=0)
    logon = pb.Logon(token=TOKEN, accounts=[pb.AccountCursor(account=name(number))])
    client.call(1, SERVICE + "Session", message(pb.ClientMessage(logon=logon).SerializeToString()), end=False)
    site.connections.append(client)


def test_a_session_that_takes_none_of_its_old_events_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(logons, "STUCK_S", 0.3)

    async def main():
        async with site_of(tmp_path, session_limit_bytes=1 << 16) as site:
            busy, _ = await trade(site, 1, 1000)
            never_reads(site, 1)
            back = await site.log_on([name(1)])
            await until(lambda: back.events == 1000)
            await until(lambda: site.server.counters()["cuts"] == {"slow_reader": 1})
            await until(lambda: len(site.orders.sessions.logged_on) == 2)
            assert not busy.ended.done()

    uvloop.run(main())


def test_when_too_much_waits_for_all_the_slowest_readers_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(order_entry, "MOST_WAITING_BYTES", 1 << 18)

    async def main():
        async with site_of(tmp_path) as site:
            for _ in range(8):
                never_reads(site, 1)
            await until(lambda: len(site.orders.sessions.logged_on) == 8)
            busy, _ = await trade(site, 1, 1000)
            await until(lambda: len(site.orders.sessions.logged_on) < 5)
            cuts = 9 - len(site.orders.sessions.logged_on)
            assert site.server.counters()["cuts"] == {"slow_reader": cuts}
            assert cuts < 8
            assert "slow_readers_cut" in site.logged
            assert not busy.ended.done()

    uvloop.run(main())


# Cold calls


def test_cold_calls_wait_in_a_bounded_queue(tmp_path, monkeypatch):
    monkeypatch.setattr(order_entry, "MOST_COLD_CALLS", 4)

    async def main():
        async with site_of(tmp_path) as site:
            connection = await site.connect()
            head = RequestHead(SERVICE + "ListOrders", {"authorization": f"Bearer {TOKEN}"})
            request = pb.ListOrdersRequest(account=name(1)).SerializeToString()
            calls = [UnaryCall(connection, head, request) for _ in range(50)]
            answers = await asyncio.gather(*(call.response for call in calls), return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, RpcError)]
            assert 4 <= len(answers) - len(refused) < 50
            assert {(one.status, one.text) for one in refused} == {
                (Status.RESOURCE_EXHAUSTED, "R1609 OVERLOAD v=5 lim=4 scope=calls")
            }
            assert site.orders.cold_calls == 0
            cancel = RequestHead(SERVICE + "MassCancel", {"authorization": f"Bearer {TOKEN}"})
            request = pb.MassCancelRequest(account=name(1)).SerializeToString()
            report = await UnaryCall(connection, cancel, request).response
            assert pb.MassCancelReport.FromString(report).reject_code == ""

    uvloop.run(main())
