"""Accounts moved between real shards under load: nothing lost, nothing executed twice, one owner, whatever crashes."""

import asyncio
import collections
import time

import grpc
import pytest

from gateway.client import Client
from gateway.pb import control_pb2 as api
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order, refused_with
from tests.system.officers import officer, write_control_file
from tests.system.plant import wait_until
from tests.system.shards import AT_0, Cluster
from tests.system.test_client import Load, Reader
from tests.system.test_recovery import accepted_by

MOVER = AT_0[0]


@pytest.fixture
def cluster(exchanges, tmp_path):
    control = write_control_file(tmp_path / "control.yaml")
    running = Cluster(exchanges, tmp_path, flags=("--control-port", "0", "--control", str(control)))
    try:
        yield running.start()
    finally:
        running.stop()


def view_of(shard, account=MOVER, token="load"):
    return shard.stub().GetAccount(pb.GetAccountRequest(account=account), **bearer(token))


def holdings(view):
    return sorted((row.symbol, row.total_shares, row.sellable_shares, row.bought_today_shares)
                  for row in view.positions if row.total_shares or row.bought_today_shares)


def send_some(shard, symbol):
    """The mover has one order that rests, one that was cancelled, one refused."""
    stub = shard.stub()
    for order in (
        limit_order("m-rest", MOVER, symbol, price_e4=99_000),
        limit_order("m-gone", MOVER, symbol, price_e4=98_000),
        limit_order("m-bad", MOVER, symbol, qty=7_777_777_00, price_e4=98_000),
    ):
        stub.Submit(order, **bearer("load"))
    stub.Cancel(pb.CancelOrder(cl_ord_id="c", account=MOVER, orig_cl_ord_id="m-gone"), **bearer("load"))


def trade(cluster, symbol):
    """B1, of shard 0, buys from the other shard, sells to its own, and has one order that rests."""
    source, target = (shard.stub() for shard in cluster.shards)
    for stub, token, order in (
        (target, "alpha", limit_order("t1", "A1", symbol, side=pb.SELL, qty=300, price_e4=100_000)),
        (source, "beta", limit_order("t2", "B1", symbol, qty=300, price_e4=100_000)),
        (source, "load", limit_order("t3", AT_0[1], symbol, qty=200, price_e4=99_500)),
        (source, "beta", limit_order("t4", "B1", symbol, side=pb.SELL, qty=200, price_e4=99_500)),
        (source, "beta", limit_order("t5", "B1", symbol, price_e4=98_000)),
    ):
        assert stub.Submit(order, **bearer(token)).ord_status == pb.STATUS_PENDING_NEW
        time.sleep(0.05)


def test_an_account_moves_with_its_day(cluster, fronts):
    """Cash, positions, used names, events: all of it is there, and nothing of it here; then it trades on."""
    source, target = cluster.shards
    send_some(source, cluster.symbols["XSHG"][0])
    front = fronts(source, "load", MOVER, AT_0[1])
    front.order(limit_order("m-live", MOVER, cluster.symbols["XSHG"][1]))
    front.report("m-live", pb.NEW)
    otto = officer(source, "otto")
    wish = {"account": MOVER, "to_shard": 1, "reason": "test"}
    assert "operator" in refused_with(grpc.StatusCode.PERMISSION_DENIED, officer(source, "olga").MoveAccount, **wish)
    moved = otto.MoveAccount(**wish)
    assert (moved.from_shard, moved.to_shard, moved.address) == (0, 1, target.address)
    away = front.first("session_reject")
    assert (away.reject_code, away.redirect) == ("R1610", target.address)
    assert (list(away.accounts), away.fatal) == ([MOVER], False)
    before = front.sequence(MOVER)
    view = view_of(target)
    assert (view.event_seq, view.open_orders, view.cash_held_e4) == (len(before), 0, 0)
    text = refused_with(grpc.StatusCode.FAILED_PRECONDITION, source.stub().GetAccount,
                        pb.GetAccountRequest(account=MOVER), **bearer("load"))
    assert text.endswith(target.address)
    # The same order again is the same order, wherever the account lives.
    again = target.stub().Submit(limit_order("m-live", MOVER, cluster.symbols["XSHG"][1]), **bearer("load"))
    assert (again.possible_duplicate, again.ord_status) == (True, pb.STATUS_CANCELED)
    # The day's events are all there, with the same numbers and in the same order.
    late = fronts(target, "load", MOVER)
    late.wait(lambda: len(late.sequence(MOVER)) == len(before), "the day's events")
    mine = [one for one in front.of("execution_report") if one.account == MOVER and one.event_seq]
    theirs = late.of("execution_report")
    for one, other in zip(mine, theirs, strict=True):
        other.order_id = one.order_id
        assert one == other
    next_report = late.accepted(limit_order("m-next", MOVER, cluster.symbols["XSHG"][0]))
    assert next_report.event_seq == len(before) + 2
    back = {"account": MOVER, "to_shard": 0, "reason": "x"}
    text = refused_with(grpc.StatusCode.FAILED_PRECONDITION, otto.MoveAccount, **back)
    assert "was at shard 0 today" in text
    assert late.accepted(limit_order("m-stay", MOVER, cluster.symbols["XSHG"][0])).event_seq


def test_cash_positions_and_firm_are_what_they_were(cluster):
    source, target = cluster.shards
    trade(cluster, cluster.symbols["XSHG"][0])
    wait_until(lambda: view_of(source, "B1", "beta").open_orders == 1, "one open order")
    sums = [officer(shard, "vera").GetExposure(scope=api.FIRM) for shard in cluster.shards]
    before = view_of(source, "B1", "beta")
    officer(target, "otto").MoveAccount(account="B1", to_shard=1, reason="test")
    after = view_of(target, "B1", "beta")
    assert (after.cash_e4, after.cash_available_e4) == (before.cash_e4, before.cash_e4)
    assert len(holdings(before)) == 12
    assert holdings(after) == holdings(before)
    later = [officer(shard, "vera").GetExposure(scope=api.FIRM) for shard in cluster.shards]
    for side in ("filled_buy_e4", "filled_sell_e4"):
        assert sum(getattr(one, side) for one in later) == sum(getattr(one, side) for one in sums) > 0
    assert later[1].filled_buy_e4 == 300 * 100_000
    for shard in cluster.shards:  # what both journaled leads to the same again
        shard.kill()
        shard.start()
    again = view_of(target, "B1", "beta")
    assert (again.cash_e4, again.event_seq, holdings(again)) == (after.cash_e4, after.event_seq, holdings(after))
    restarted = [officer(shard, "vera").GetExposure(scope=api.FIRM) for shard in cluster.shards]
    assert [one.filled_buy_e4 for one in restarted] == [one.filled_buy_e4 for one in later]


def test_a_client_under_load_does_not_notice(cluster, exchanges):
    """Accounts move while they trade: every order is executed once, every event comes once."""
    before = accepted_by(exchanges)
    otto = officer(cluster.shards[0], "otto")

    async def play():
        async with Client([cluster.shards[0].address], "load", [*AT_0, "L0001", "L0002", "L0003"]) as client:
            reader, stopped = Reader(client), asyncio.Event()
            load = Load(client, cluster.symbols["XSHG"], 15.0)
            loading = asyncio.create_task(load.run(stopped))
            for account, shard in ((AT_0[0], 1), ("L0001", 0), (AT_0[1], 1)):
                await asyncio.sleep(0.5)
                await asyncio.to_thread(otto.MoveAccount, account=account, to_shard=shard, reason="test")
            await asyncio.sleep(0.5)
            stopped.set()
            await loading
            newest = {name: (await client.get_account(name)).event_seq for name in client.state.accounts}
            await reader.until(lambda of: all(len(of[name]) >= newest[name] for name in newest))
        await reader.task
        return load, reader

    load, reader = asyncio.run(play())
    assert len(load.outcomes) > 300
    assert all(report.order_id for report in load.outcomes.values())
    for account, sequence in reader.sequences().items():
        assert sequence == list(range(1, len(sequence) + 1)), account
    reports = [event for events in reader.of.values() for event in events if isinstance(event, pb.ExecutionReport)]
    accepted = collections.Counter(report.cl_ord_id for report in reports if report.exec_type == pb.PENDING_NEW)
    assert set(accepted) == set(load.outcomes)
    assert set(accepted.values()) == {1}
    wait_until(lambda: sum(accepted_by(exchanges)) - sum(before) >= len(load.outcomes), "every order at its exchange")
    assert sum(accepted_by(exchanges)) - sum(before) == len(load.outcomes)
