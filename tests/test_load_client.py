"""The load client over a real socket against a small real server: honest about stalls, silence and disorder."""

import asyncio

import numpy as np
import pytest
import uvloop

from loadtest.drive import Drive, Endpoint, Sessions
from loadtest.measure import CANCEL_ORDER
from loadtest.plan import SIDE_BUY, make_plan
from loadtest.report import Objectives, RunFacts, build_report
from loadtest.schedule import Pace, planned_times_ns
from loadtest.sources import mixed, parse_mix
from loadtest.universe import generate_universe
from tests.fake_order_entry import FakeOrderEntry, serving

S = 1_000_000_000
UNIVERSE = generate_universe(5)


def plan_of(rate=500, seconds=1, mix="new=70,cancel=20,cross=10", bad=0.0):
    pace = Pace(rate, seconds * S)
    times = planned_times_ns(pace)
    source = mixed(UNIVERSE, len(times), 2, 3, parse_mix(mix))
    return pace, make_plan(source, times, accounts=40, lanes=2, bad_share=bad, seed=3)


def drive(service, plan, drain_s=1.0, sessions=2, token="load"):
    with serving(service) as port:
        run = Drive(plan, Sessions(Endpoint("127.0.0.1", port), token, sessions), drain_s=drain_s)
        outcome, _ = uvloop.run(run.run())
    return outcome


def report_of(pace, outcome):
    facts = RunFacts("now", "fake", "mix", "even", 40, 2, pace)
    return build_report(facts, outcome, Objectives(), [], [])


@pytest.fixture(scope="module")
def calm():
    pace, plan = plan_of()
    service = FakeOrderEntry()
    return pace, plan, service, drive(service, plan)


def test_everything_is_sent_answered_and_passes(calm):
    pace, plan, service, outcome = calm
    report = report_of(pace, outcome)
    assert report.verdict == "PASS", report.reasons
    assert len(service.orders) + len(service.cancels) == report.counts.sent == len(plan.kind)
    assert report.counts.acked == report.counts.orders


def test_the_server_reads_what_was_planned(calm):
    _, plan, service, _ = calm
    by_number = {int(order.cl_ord_id[6:]): order for order in service.orders}
    assert len(by_number) == len(service.orders)
    for number, order in by_number.items():
        assert order.account == plan.accounts[plan.account[number]]
        assert (int(order.symbol), order.security_exchange, order.side) == (
            plan.symbol[number],
            plan.venue[number],
            plan.side[number],
        )
        assert (order.ord_type, order.order_qty_shares) == (1, plan.order_qty_shares[number])
        assert order.price_e4 == plan.price_e4[number]
    for cancel in service.cancels:
        number = int(cancel.cl_ord_id[6:])
        assert int(cancel.orig_cl_ord_id[6:]) == plan.cancel_of[number]
        assert cancel.account == plan.accounts[plan.account[plan.cancel_of[number]]]


def test_requests_leave_on_time(calm):
    _, _, _, outcome = calm
    late_ns = outcome.sent_ns - outcome.planned_ns
    assert late_ns.min() >= 0
    assert np.quantile(late_ns, 0.5) < 2_000_000


def test_a_stall_shows_in_full_by_planned_time():
    # 200 ms of a 1 s run: every request due meanwhile waits, so a tenth of all wait 100 ms or more. A client that
    # waited for answers would have shown one slow order.
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0")
    outcome = drive(FakeOrderEntry("stall"), plan, sessions=1)
    row = report_of(pace, outcome).find("order to decision")
    latencies = outcome.since_planned(outcome.decided_ns, outcome.orders)
    assert row.p99_us > 150_000
    assert np.count_nonzero(latencies > 100_000_000) >= 40
    assert np.quantile(outcome.sent_ns - outcome.planned_ns, 0.9) < 50_000_000


def test_a_silent_server_fails_the_run_with_a_count():
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0")
    report = report_of(pace, drive(FakeOrderEntry("mute"), plan, drain_s=0.3))
    assert report.verdict == "FAIL"
    assert report.counts.unanswered == 10
    assert any("never answered: 10" in reason for reason in report.reasons)


@pytest.mark.parametrize(
    ("misbehaviour", "count"),
    [("twice", "repeated"), ("gap", "disorder"), ("backwards", "disorder"), ("garbage", "malformed")],
)
def test_wrong_event_streams_are_counted(misbehaviour, count):
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0")
    report = report_of(pace, drive(FakeOrderEntry(misbehaviour), plan, sessions=1))
    assert report.verdict == "FAIL"
    assert getattr(report.counts, count) == 1


def test_good_orders_that_are_refused_fail_the_run():
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0")
    report = report_of(pace, drive(FakeOrderEntry("refuse"), plan, sessions=1))
    assert report.counts.rejected_unexpected == 10
    assert [(row.code, row.unexpected) for row in report.rejects] == [("R1301", 10)]
    assert report.verdict == "FAIL"


def test_bad_orders_that_are_let_through_fail_the_run():
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0", bad=0.05)
    report = report_of(pace, drive(FakeOrderEntry(), plan))
    assert report.counts.rejections_missing == 25
    assert report.verdict == "FAIL"


def test_a_session_that_dies_leaves_the_rest_unsent_and_says_why():
    pace, plan = plan_of(mix="new=100,cancel=0,cross=0")
    report = report_of(pace, drive(FakeOrderEntry("quit"), plan, drain_s=0.5, sessions=1))
    assert report.counts.unsent > 300
    assert report.counts.sent + report.counts.unsent == report.counts.planned
    assert any("fell over" in reason for reason in report.reasons)


def test_a_refused_logon_is_an_error_that_says_so():
    _, plan = plan_of()
    with pytest.raises(ConnectionError, match="unknown token"):
        drive(FakeOrderEntry(), plan, token="wrong")


def test_nobody_listening_is_an_error():
    _, plan = plan_of()
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1: "):
        asyncio.run(Drive(plan, Sessions(Endpoint("127.0.0.1", 1), "load", 1)).run())


def test_events_from_before_the_run_are_not_counted():
    pace, plan = plan_of(rate=100)
    service = FakeOrderEntry()
    service.event_seq.update(dict.fromkeys(plan.accounts, 7))
    assert report_of(pace, drive(service, plan)).verdict == "PASS"


@pytest.mark.parametrize("text", ["", "7001", "host:", "host:x", ":1", "host:70000"])
def test_bad_addresses_say_what_was_expected(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        Endpoint.parse(text)


def test_no_account_meets_its_own_orders():
    _, plan = plan_of(rate=5_000)
    sides: dict[tuple[int, int], set[int]] = {}
    for account, touch, side, of in zip(plan.account, plan.touch, plan.side, plan.cancel_of, strict=True):
        if of < 0:
            sides.setdefault((int(account), int(touch)), set()).add(int(side))
    assert all(len(both) == 1 for both in sides.values())
    assert SIDE_BUY in {side for both in sides.values() for side in both}
    assert np.count_nonzero(plan.kind == CANCEL_ORDER) > 500
