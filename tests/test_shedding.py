"""What is shed, and for what: the bare comparison, and what a client, the engine and its cl_ord_ids see of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ext import sweeps, tape
from ext.buffers import Turn
from ext.clock import utc_now_ns
from ext.codes import PHASES
from ext.session import Session, Stages, UnaryOrder
from ext.shedding import Shedder
from gateway.pb import order_entry_pb2 as pb
from tests.benchmarks.bench_core import rig

LIMITS = {"waited_ns": 20_000_000, "held_bytes": 1 << 25, "venue_bytes": 1 << 20, "venue_silent_ns": 500_000_000}
CODES = {"waited_ns": 1609, "held_bytes": 1609, "venue_bytes": 1609, "venue_silent_ns": 1601}
FAULTY_CANCEL = pb.ClientMessage(cancel_order=pb.CancelOrder(cl_ord_id="-")).SerializeToString()
WHAT = {"waited_ns": "waited", "held_bytes": "held", "venue_bytes": "venue_bytes", "venue_silent_ns": "venue_silent"}
numbers = st.integers(0, 1 << 40)


def shedder():
    return Shedder(*LIMITS.values())


@given(numbers, numbers, numbers, numbers)
def test_an_order_is_shed_for_the_first_limit_it_is_beyond(waited, held, venue_bytes, silent):
    met = dict(zip(LIMITS, (waited, held, venue_bytes, silent), strict=True))
    beyond = [name for name, value in met.items() if value > LIMITS[name]]
    what, code, value, limit = shedder().judge(**met)
    if not beyond:
        assert (what, code) == ("nothing", 0)
        return
    unit = 1000 if beyond[0].endswith("_ns") else 1
    expected = WHAT[beyond[0]], CODES[beyond[0]], met[beyond[0]] // unit, LIMITS[beyond[0]] // unit
    assert (what, code, value, limit) == expected


@pytest.mark.parametrize("name", LIMITS)
def test_at_the_limit_nothing_is_shed_and_just_beyond_it_is(name):
    sheds = shedder()
    assert sheds.judge(**{name: LIMITS[name]})[1] == 0
    assert sheds.judge(**{name: LIMITS[name] + 1000})[1] == CODES[name]
    # It keeps no memory: what comes after the overload is as if there had been none.
    assert sheds.judge(**{name: LIMITS[name]})[1] == 0
    assert sheds.shed_counts() == dict.fromkeys(WHAT.values(), 0) | {WHAT[name]: 1}


def test_without_limits_nothing_is_shed():
    assert Shedder().judge(*[1 << 62] * 4) == ("nothing", 0, 0, 0)


class Site:
    """An engine with one session, and a clock that the test moves."""

    def __init__(self, folder, **limits):
        self.engine = rig(folder, 64, orders=1024, warm=False).engine
        now_ns = utc_now_ns()
        sweeps.set_phase(self.engine, 1, PHASES["CONTINUOUS"], now_ns)
        tape.quote(self.engine, 1, 600_007, now_ns, bid_px_e4=99_900, ask_px_e4=100_100, last_px_e4=100_000)
        self.turn = Turn(lambda run: None)
        self.stages = Stages(Shedder(**limits))
        self.session = Session(self.turn, self.engine, self.stages, None)
        self.session.log_on(0, {1: 0})
        assert self.session.catch_up()

    def ask(self, waited_ns=0, **message):
        """What a message that waited so long is answered with; the order before it was decided just now."""
        return self.ask_as(self.session, pb.ClientMessage(**message).SerializeToString(), waited_ns)

    def ask_as(self, caller, octets, waited_ns):
        tape.feed(self.session, FAULTY_CANCEL, utc_now_ns())
        tape.taken(self.session)
        tape.feed(caller, octets, utc_now_ns() - waited_ns)
        return tape.taken(caller)

    def order(self, name, waited_ns=0):
        (answer,) = self.ask(waited_ns, new_order=new_order(name))
        return pb.ServerMessage.FromString(answer).execution_report


def new_order(name):
    return pb.NewOrder(cl_ord_id=name, account="A0000001", symbol="600007", security_exchange=1, side=1, ord_type=1,
                       order_qty_shares=100, price_e4=99_900)


MS = 1_000_000


def test_a_shed_order_leaves_nothing_behind(tmp_path):
    site = Site(tmp_path, most_waited_ns=20 * MS)
    seen = site.engine.state.hash(), site.engine.journal.end
    report = site.order("o1", 50 * MS)
    assert (report.reject_code, report.event_seq, report.order_id) == ("R1609", 0, 0)
    assert report.exec_type == pb.REJECTED
    assert re.fullmatch(r"R1609 OVERLOAD field=waited_us v=(49|50)\d\d\d lim=20000", report.text)
    assert (site.engine.state.hash(), site.engine.journal.end) == seen
    assert site.stages.shedder.shed_counts()["waited"] == 1
    assert site.engine.decision_counts()[1609] == 1
    # The name is free, and the same order passes as soon as the shard has time.
    assert site.order("o1").exec_type == pb.PENDING_NEW


def test_an_order_that_is_already_in_is_not_shed_but_repeated(tmp_path):
    site = Site(tmp_path, most_waited_ns=20 * MS)
    first = site.order("o1")
    again = site.order("o1", 50 * MS)
    assert (again.order_id, again.exec_type) == (first.order_id, pb.PENDING_NEW)
    assert again.possible_duplicate


def test_a_cancel_passes_however_long_it_waited(tmp_path):
    site = Site(tmp_path, most_waited_ns=20 * MS)
    site.stages.shedder.held_bytes = 1 << 40
    site.order("o1")
    cancel = pb.CancelOrder(cl_ord_id="c1", account="A0000001", orig_cl_ord_id="o1")
    assert site.ask(10**12, cancel_order=cancel) == []
    assert site.engine.state.hash() != 0
    refused = pb.ServerMessage.FromString(site.ask(10**12, cancel_order=cancel)[0]).cancel_reject
    assert refused.reject_code == "R1607"


def test_octets_that_wait_for_the_journal_shed_orders(tmp_path):
    site = Site(tmp_path, most_held_bytes=1000)
    site.stages.shedder.held_bytes = 1001
    assert site.order("o1").text == "R1609 OVERLOAD field=held_bytes v=1001 lim=1000"
    site.stages.shedder.held_bytes = 1000
    assert site.order("o1").exec_type == pb.PENDING_NEW


def test_a_unary_call_is_shed_like_a_session(tmp_path):
    site = Site(tmp_path, most_waited_ns=20 * MS)
    call = UnaryOrder(site.turn, site.engine, site.stages, 0, False)
    (answer,) = site.ask_as(call, new_order("o1").SerializeToString(), 50 * MS)
    assert pb.ExecutionReport.FromString(answer).reject_code == "R1609"
    assert call.status == 0


def test_shed_orders_do_not_latch_the_port(tmp_path):
    """R1207 is for clients whose orders are bad; these were never looked at."""
    site = Site(tmp_path, most_waited_ns=20 * MS)
    for number in range(2000):
        site.order(f"o{number}", 50 * MS)
    assert site.order("last").exec_type == pb.PENDING_NEW


def test_under_a_steady_overload_it_takes_what_it_can(tmp_path):
    """A queue that grows faster than it is worked off: orders at its head pass until they are too old, then only as
    many as there is time for; once the flood is over the very next order passes."""
    site = Site(tmp_path, most_waited_ns=20 * MS)
    cost_ms, shed_ms, interval_ms = 1.0, 0.2, 0.5
    now_ms, passed, shed, runs, before = 0.0, 0, 0, 0, True
    for number in range(400):
        came_ms = number * interval_ms
        now_ms = max(now_ms, came_ms)
        took = site.stages.shedder.judge(waited_ns=int((now_ms - came_ms) * MS))[1] == 0
        now_ms += cost_ms if took else shed_ms
        passed, shed = passed + took, shed + (not took)
        runs += took != before
        before = took
        assert now_ms - came_ms < 20 + cost_ms + 0.001
    assert passed > 0.3 * 400
    assert shed > 0.2 * 400
    assert site.order("after").exec_type == pb.PENDING_NEW
