"""Accounts over two real shards: each trades at home, and whoever asks elsewhere is told where that is."""

import time

import grpc
import pytest

from gateway.pb import order_entry_pb2 as pb
from gateway.transport import TRANSPORTS
from tests.system.front import Front, bearer, limit_order, refused_with
from tests.system.officers import officer, write_control_file
from tests.system.plant import tidegate, wait_until
from tests.system.shards import AT_0, AT_1, Cluster

FOLLOWED_S = 1.0  # the copies of the topology have seen both shards


@pytest.fixture(scope="module", params=TRANSPORTS)
def cluster(request, exchanges, tmp_path_factory):
    running = Cluster(exchanges, tmp_path_factory.mktemp(f"cluster-{request.param}"), str(request.param))
    try:
        running.start()
        time.sleep(FOLLOWED_S)
        yield running
    finally:
        running.stop()


def test_each_shard_loads_the_accounts_at_home_there(cluster):
    counted = [shard.child.logged("recovered") for shard in cluster.shards]
    assert all(counted)
    for account, home, away in ((AT_0[0], 0, 1), (AT_1[0], 1, 0)):
        view = cluster.shards[home].stub().GetAccount(pb.GetAccountRequest(account=account), **bearer("load"))
        assert view.cash_e4 == 1_000_000_000 * 10_000
        text = refused_with(grpc.StatusCode.FAILED_PRECONDITION, cluster.shards[away].stub().GetAccount,
                            pb.GetAccountRequest(account=account), **bearer("load"))
        assert text == f"R1610 WRONG_SHARD redirect={cluster.shards[home].address}"


def test_an_order_elsewhere_is_told_where_its_account_lives(cluster):
    order = limit_order("away-1", AT_1[0], cluster.symbols["XSHG"][0])
    report = cluster.shards[0].stub().Submit(order, **bearer("load"))
    assert (report.reject_code, report.event_seq, report.order_id) == ("R1610", 0, 0)
    assert report.redirect == cluster.shards[1].address
    assert report.text == f"R1610 WRONG_SHARD redirect={report.redirect}"
    with grpc.insecure_channel(report.redirect) as channel:
        accepted = type(cluster.shards[0].stub())(channel).Submit(order, **bearer("load"))
    assert accepted.ord_status == pb.STATUS_PENDING_NEW
    cancel = pb.CancelOrder(cl_ord_id="c", account=AT_1[0], orig_cl_ord_id="away-1")
    reject = cluster.shards[0].stub().Cancel(cancel, **bearer("load")).cancel_reject
    assert (reject.reject_code, reject.redirect) == ("R1610", cluster.shards[1].address)
    assert cluster.shards[1].stub().Cancel(cancel, **bearer("load")).execution_report.order_id == accepted.order_id


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("GetOrder", pb.GetOrderRequest(account=AT_1[0], cl_ord_id="x")),
        ("ListOrders", pb.ListOrdersRequest(account=AT_1[0])),
        ("MassCancel", pb.MassCancelRequest(account=AT_1[0])),
        ("Confirm", pb.ConfirmOrder(account=AT_1[0], cl_ord_id="x")),
        ("SubmitBasket", pb.Basket(basket_id="b", orders=[limit_order("b1", AT_1[0], "600000")])),
    ],
)
def test_every_other_call_names_the_shard_in_its_status(cluster, method, request_):
    call = getattr(cluster.shards[0].stub(), method)
    text = refused_with(grpc.StatusCode.FAILED_PRECONDITION, call, request_, **bearer("load"))
    assert text.partition("redirect=")[2] == cluster.shards[1].address


def test_a_token_learns_nothing_of_accounts_that_are_not_its_own(cluster):
    order = limit_order("nosy", AT_1[0], cluster.symbols["XSHG"][0])
    report = cluster.shards[0].stub().Submit(order, **bearer("beta"))
    assert (report.reject_code, report.redirect) == ("R1001", "")
    order.account = "NOBODY"
    assert cluster.shards[0].stub().Submit(order, **bearer("load")).reject_code == "R1001"


def test_a_logon_is_split_by_shard(cluster, fronts):
    front = fronts(cluster.shards[0])
    acknowledged = front.log_on("load", *AT_0, *AT_1)
    assert [cursor.account for cursor in acknowledged.accounts] == list(AT_0)
    (reject,) = front.of("session_reject")
    assert (reject.reject_code, reject.field, reject.fatal) == ("R1610", "accounts", False)
    assert (reject.redirect, list(reject.accounts)) == (cluster.shards[1].address, list(AT_1))
    with grpc.insecure_channel(reject.redirect) as channel:
        second = Front(type(cluster.shards[0].stub())(channel))
        assert [cursor.account for cursor in second.log_on("load", *reject.accounts).accounts] == list(AT_1)
        second.cut()
    order = limit_order("stray", AT_1[0], cluster.symbols["XSHG"][0])
    report = front.order(order)
    assert (report.reject_code, report.redirect) == ("R1610", cluster.shards[1].address)
    front.cancel(AT_1[0], "stray", "c1")
    reject = front.first("cancel_reject")
    assert (reject.reject_code, reject.redirect) == ("R1610", cluster.shards[1].address)
    front.send(mass_cancel=pb.MassCancelRequest(cl_ord_id="m1", account=AT_1[0]))
    assert front.first("mass_cancel_report").redirect == cluster.shards[1].address
    front.send(confirm_order=pb.ConfirmOrder(account=AT_1[0], cl_ord_id="stray"))
    reject = front.first("session_reject", lambda one: one.field == "confirm_order.account")
    assert (reject.redirect, reject.fatal) == (cluster.shards[1].address, False)


def test_a_logon_with_no_account_at_home_ends_with_the_address(cluster, fronts):
    front = fronts(cluster.shards[0])
    front.send(logon=pb.Logon(token="load", accounts=[pb.AccountCursor(account=AT_1[0])]))
    front.wait(lambda: front.ended, "the end of the stream")
    reject = front.first("session_reject")
    assert (reject.reject_code, reject.redirect, reject.fatal) == ("R1610", cluster.shards[1].address, True)
    assert front.call.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert front.call.details() == reject.text


def test_a_redirect_is_no_fault_of_the_client(cluster):
    """A token that is latched after three rejects in a row may be redirected as often as it likes."""
    symbol = cluster.symbols["XSHG"][0]  # LATCH1 is at home at shard 0
    for number in range(6):
        report = cluster.shards[1].stub().Submit(limit_order(f"far{number}", "LATCH1", symbol), **bearer("latch"))
        assert report.reject_code == "R1610"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--shards", "3", "--shard", "2"), "--shards: got 3, expected 2: cluster t was made with 2"),
        (("--shards", "2", "--shard", "2"), "--shard: got 2, expected 0 to 1: the cluster has 2 shards"),
        (("--redis", "redis://127.0.0.1:1"), "a shard must know its accounts to start"),
        (("--redis", "", "--shards", "2"), "--shards: got 2 and no --redis"),
        (("--redis", "http://x"), "--redis: got 'http://x', expected redis://host:port"),
    ],
)
def test_flags_that_do_not_fit_the_cluster_are_refused(cluster, tmp_path, flags, expected):
    arguments = [*cluster.shards[0].arguments(), "--journal", str(tmp_path / "journal"), *flags]
    ran = tidegate(*arguments)
    assert ran.returncode == 2
    assert expected in ran.stderr


def test_the_address_of_a_shard_follows_it_and_outlives_redis(cluster):
    """A shard that moved is found where it is now; with Redis away the last address is told, and everything trades
    on."""
    cluster.shards[1].stop()
    cluster.shards[1].start()
    time.sleep(FOLLOWED_S)
    order = limit_order("after-1", AT_1[1], cluster.symbols["XSHG"][1])
    assert cluster.shards[0].stub().Submit(order, **bearer("load")).redirect == cluster.shards[1].address
    cluster.redis.kill()
    try:
        time.sleep(FOLLOWED_S)
        assert cluster.shards[0].stub().Submit(order, **bearer("load")).redirect == cluster.shards[1].address
        home = limit_order("after-2", AT_0[1], cluster.symbols["XSHG"][1])
        assert cluster.shards[0].stub().Submit(home, **bearer("load")).ord_status == pb.STATUS_PENDING_NEW
        assert cluster.shards[0].child.logged("topology_away")
    finally:
        cluster.redis.start()


def test_the_topology_is_served_by_any_control_port(exchanges, tmp_path):
    """Both shards, their addresses, links and counts; one that is killed falls silent; Redis away is said."""
    control = write_control_file(tmp_path / "control.yaml")
    running = Cluster(exchanges, tmp_path, flags=("--control-port", "0", "--control", str(control)))
    try:
        running.start()
        time.sleep(FOLLOWED_S)
        vera = officer(running.shards[1], "vera")
        topology = vera.GetTopology()
        assert (topology.cluster, topology.version, topology.is_stale) == ("t", 1, False)
        assert list(topology.slots) == [slot % 2 for slot in range(1024)]
        assert [shard.address for shard in topology.shards] == [shard.address for shard in running.shards]
        for row in topology.shards:
            assert row.is_heard
            assert {(link.security_exchange, link.is_up) for link in row.links} == {("XSHG", True), ("XSHE", True)}
        assert sum(row.accounts for row in topology.shards) == 225
        ran = tidegate("control", "topology", "--at", topology.shards[1].control_address, "--token", "vera")
        assert ran.returncode == 0, ran.stderr
        assert "cluster t, version 1, 1024 slots, 0 accounts moved" in ran.stdout
        running.shards[0].kill()
        wait_until(lambda: not vera.GetTopology().shards[0].is_heard, "shard 0 is silent")
        assert vera.GetTopology().shards[0].address == running.shards[0].address
        running.redis.kill()
        stale = vera.GetTopology()
        assert stale.is_stale
        assert vera.GetTopology().as_of_ns == stale.as_of_ns
        assert len(stale.shards) == 2
    finally:
        running.stop()
