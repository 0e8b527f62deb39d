"""Every row of the ladder in the reference model: what fires, and the nearest order that does not."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import FUND, MAIN_STOCK, MS, STAR_STOCK, SZ_STOCK, TEN, Desk
from tests.model_optional import LADDER
from tests.model_state import (
    BEST5_CANCEL,
    BEST5_LIMIT,
    BUY,
    FOK,
    IOC,
    LIMIT,
    MAIN,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    P_OPEN_CALL_LOCKED,
    P_QUIET,
    PASS,
    SELL,
    XSHG,
    BoardRules,
    NewOrder,
    ScopeLimits,
)
from tests.pair import Twin


@pytest.fixture(params=["model", "engine"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """The model alone, and the engine beside it."""
    if request.param == "model":
        yield Desk()
        return
    twin = Twin(tmp_path / "journal")
    yield Desk(twin)
    twin.close()


@pytest.mark.parametrize(
    ("field_name", "bad", "good"),
    [
        ("cl_ord_id", "", "x"), ("cl_ord_id", "x" * 65, "x" * 64), ("cl_ord_id", "委" * 22, "委" * 21),
        ("symbol", "60000", "600000"),
        ("symbol", "60000a", "600000"), ("exchange", 0, XSHG), ("exchange", 3, XSHG), ("side", 0, BUY),
        ("side", 3, BUY), ("ord_type", 0, LIMIT), ("ord_type", 8, LIMIT), ("qty", 0, 100), ("qty", 10**9 + 1, 100),
        ("price", 0, 100_000), ("price", -1, 100_000), ("price", 10**9 + 1, 100_000), ("time_in_force", 2, 1),
        ("account", "", "A"), ("account", "A" * 17, "A"),
    ],
)  # fmt: skip
def test_r1605_malformed(desk: Desk, field_name: str, bad: object, good: object) -> None:
    for value, expected in ((bad, 1605), (good, PASS)):
        request = NewOrder("id", "A", "600000", XSHG, BUY, LIMIT, 100, TEN)
        setattr(request, field_name, value)
        decision = desk.model.new_order(desk.port, request, desk.now_ns)
        assert decision.code == expected
        assert (decision.order is None) == (expected == 1605)


def test_r1001_auth(desk: Desk) -> None:
    desk.port.accounts.discard("B")
    assert desk.code(account="B") == 1001
    desk.port.accounts.add("Z")
    assert desk.code(account="Z") == 1001
    assert desk.model.orders == []


def test_r1203_rate_in_counts_steps_of_a_sixteenth(desk: Desk) -> None:
    desk.port.rate_in_per_s = 2
    assert [desk.code(qty=1), desk.code()] == [1101, PASS]
    desk.wait(1_062)  # the 17th step after the first begins at 1062.5 ms
    assert desk.code() == 1203
    desk.wait(1_063)
    assert desk.code() == PASS


def test_r1207_reject_break_latches_and_opens(desk: Desk) -> None:
    desk.port.reject_streak_max, desk.port.reject_latch_ms = 2, 1_000
    assert [desk.code(qty=q) for q in (1, 100, 1, 1, 100)] == [1101, PASS, 1101, 1101, 1207]
    desk.wait(999)
    assert desk.code() == 1207
    desk.wait(1)
    assert desk.code() == PASS


def test_r1201_same_id(desk: Desk) -> None:
    first = desk.open(cl_ord_id="same")
    seq = desk.a.event_seq
    again = desk.send(cl_ord_id="same")
    assert (again.duplicate, again.order, desk.a.event_seq) == (True, first, seq)
    assert desk.code(price=TEN - 100, cl_ord_id="same") == 1201
    assert desk.code(account="B", price=TEN - 100, cl_ord_id="same") == PASS


def test_r1603_capacity(desk: Desk) -> None:
    desk.model.order_capacity = 1
    assert [desk.code(), desk.code()] == [PASS, 1603]


@pytest.mark.parametrize("scope", ["port", "account", "group", "firm"])
def test_r1501_kill_blocks_and_sweeps(desk: Desk, scope: str) -> None:
    desk.open()
    desk.open(account="C")
    target = {"port": desk.port, "account": desk.a, "group": desk.group, "firm": desk.model.firm}[scope]
    expected = 2 if scope in ("port", "firm") else 1
    assert desk.model.kill(target, desk.now_ns) == (expected, 0)
    decision = desk.send()
    assert (decision.code, decision.scope) == (1501, scope)
    desk.model.unkill(target)
    assert desk.code() == PASS


def test_kill_queues_in_a_no_cancel_phase(desk: Desk) -> None:
    desk.phase(P_OPEN_CALL_LOCKED)
    desk.open()
    assert desk.model.kill(desk.model.firm, desk.now_ns) == (1, 1)
    desk.phase(P_QUIET)
    assert [s.kind for s in desk.model.sent] == ["new"]
    desk.phase(P_CONTINUOUS)
    assert [s.kind for s in desk.model.sent] == ["new", "cancel"]


def test_r1002_state(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 300)
    codes = {}
    for state in ("FROZEN", "CANCEL_ONLY", "SELL_ONLY", "NORMAL"):
        desk.a.state = state
        codes[state] = desk.code(SELL, price=101_000), desk.code(BUY)
    barred = (1002, 1002)
    assert codes == {"FROZEN": barred, "CANCEL_ONLY": barred, "SELL_ONLY": (PASS, 1002), "NORMAL": (PASS, PASS)}


def test_r1003_symbol(desk: Desk) -> None:
    assert desk.code(key=(XSHG, "600001")) == 1003
    for status in ("SUSPENDED", "DELISTED"):
        desk.model.instruments[MAIN_STOCK].status = status
        assert desk.code() == 1003
    desk.model.instruments[MAIN_STOCK].status = "NORMAL"
    assert desk.code() == PASS


def test_r1601_venue_down(desk: Desk) -> None:
    desk.model.set_link(XSHG, False, desk.now_ns)
    assert [desk.code(), desk.code(key=SZ_STOCK)] == [1601, PASS]


@pytest.mark.parametrize("phase", range(9))
def test_r1004_session(desk: Desk, phase: int) -> None:
    desk.phase(phase)
    open_phases = (P_OPEN_CALL, P_OPEN_CALL_LOCKED, P_CONTINUOUS, P_CLOSE_CALL)
    assert desk.code() == (PASS if phase in open_phases else 1004)


def test_r1005_restricted(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 100)
    desk.a.banned.add((XSHG, "600000", BUY))
    assert [desk.code(BUY), desk.code(SELL), desk.code(key=SZ_STOCK)] == [1005, PASS, PASS]


def test_r1006_ordtype(desk: Desk) -> None:
    assert [desk.code(kind=BEST5_LIMIT), desk.code(kind=BEST5_LIMIT, key=SZ_STOCK)] == [PASS, 1006]
    for kind in (IOC, FOK):
        assert [desk.code(kind=kind), desk.code(kind=kind, key=SZ_STOCK)] == [1006, PASS]
    desk.model.instruments[MAIN_STOCK].up_limit = 0
    assert [desk.code(kind=BEST5_CANCEL, price=0), desk.code(kind=BEST5_CANCEL)] == [1006, PASS]
    desk.phase(P_CLOSE_CALL)
    assert desk.code(kind=BEST5_CANCEL) == 1006
    desk.a.ord_types = frozenset({BEST5_CANCEL})
    assert desk.code() == 1006


def test_r1007_suitability(desk: Desk) -> None:
    desk.a.boards = frozenset({MAIN})
    assert [desk.code(qty=200, key=STAR_STOCK), desk.code()] == [1007, PASS]


def test_r1102_account_maximum(desk: Desk) -> None:
    desk.a.limits.max_qty = 500
    assert [desk.code(qty=600), desk.code(qty=500)] == [1102, PASS]


def test_r1105_tick(desk: Desk) -> None:
    assert [desk.code(price=99_950), desk.code(price=99_900)] == [1105, PASS]
    assert [desk.code(kind=BEST5_CANCEL, price=99_950), desk.code(kind=BEST5_CANCEL, price=0)] == [1105, PASS]


def test_r1106_price_limit(desk: Desk) -> None:
    desk.phase(P_OPEN_CALL)
    assert [desk.code(price=p) for p in (110_000, 110_100, 90_000, 89_900)] == [PASS, 1106, PASS, 1106]
    desk.model.instruments[MAIN_STOCK].up_limit = desk.model.instruments[MAIN_STOCK].down_limit = 0
    assert desk.code(price=89_900) == PASS


def test_r1110_md_stale(desk: Desk) -> None:
    desk.now_ns += 3_000 * MS
    assert desk.code() == PASS
    desk.now_ns += 1
    assert desk.code() == 1110
    desk.wait(0)
    assert desk.code() == PASS


def test_r1110_md_stale_without_any_quote(desk: Desk) -> None:
    desk.model.instruments[MAIN_STOCK].quote = None
    assert [desk.code(), desk.code(key=SZ_STOCK)] == [1110, PASS]
    desk.phase(P_OPEN_CALL)
    assert desk.code() == PASS


def test_r1103_max_ntl(desk: Desk) -> None:
    desk.a.limits.max_ntl = 100 * 110_000
    desk.hold_shares(desk.a, MAIN_STOCK, 1000)
    assert [desk.code(kind=BEST5_CANCEL, price=0), desk.code(qty=200)] == [PASS, 1103]
    desk.quote(MAIN_STOCK, bid1=110_000, ask1=110_000)  # a low sell is worth what the best bid would pay
    assert [desk.code(SELL, 200, 109_900), desk.code(SELL, 100, 109_900, account="C")] == [1103, 1302]


def test_r1107_cage_of_sells_and_of_star(desk: Desk) -> None:
    desk.model.boards[MAIN] = BoardRules(100, 100, 10**6, 10**6, cage_bps=200, cage_ticks=10)
    for key, price, expected in ((MAIN_STOCK, 98_000, PASS), (MAIN_STOCK, 97_900, 1107)):
        desk.hold_shares(desk.a, key, 10_000)
        assert desk.code(SELL, 100, price, key=key) == expected
    star = desk.model.instruments[STAR_STOCK]
    star.up_limit = star.down_limit = 0
    desk.quote(STAR_STOCK, 40_000, 40_000, 40_000)
    assert [desk.code(qty=200, price=p, key=STAR_STOCK) for p in (40_800, 40_900)] == [PASS, 1107]
    desk.quote(STAR_STOCK, 0, 0, 0)  # no price at all: the previous close
    assert [desk.code(qty=200, price=p, key=STAR_STOCK) for p in (102_000, 102_100)] == [PASS, 1107]


def test_r1108_collar_per_phase(desk: Desk) -> None:
    desk.a.limits.collar |= {P_CONTINUOUS: (100, 5), P_OPEN_CALL: (300, 0)}
    assert [desk.code(price=p) for p in (101_000, 101_100)] == [PASS, 1108]
    desk.phase(P_OPEN_CALL_LOCKED)
    assert [desk.code(price=p) for p in (103_000, 103_100)] == [PASS, 1108]
    desk.phase(P_CLOSE_CALL)
    assert desk.code(price=103_100) == PASS
    desk.phase(P_CONTINUOUS)
    desk.quote(MAIN_STOCK, ask1=20_000)
    desk.model.instruments[MAIN_STOCK].down_limit = 0
    assert [desk.code(price=p) for p in (20_500, 20_600)] == [PASS, 1108]  # five ticks are more than 1%


def test_r1401_market_orders(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 1_000)
    desk.open(SELL, price=102_000)
    assert desk.code(BUY, kind=BEST5_CANCEL, price=0) == 1401
    assert desk.code(SELL, kind=BEST5_CANCEL, price=0) == PASS
    assert desk.code(BUY, price=99_900) == 1401  # the open market sell would take any price
    desk.open(BUY, price=98_100, key=SZ_STOCK)
    desk.hold_shares(desk.b, SZ_STOCK, 1_000)
    assert desk.code(SELL, price=98_200, key=SZ_STOCK, account="B") == PASS
    assert desk.code(SELL, price=98_100, key=SZ_STOCK, account="B") == 1401
    assert desk.code(SELL, kind=BEST5_CANCEL, price=0, key=SZ_STOCK, account="B") == 1401


def test_r1202_dup_econ(desk: Desk) -> None:
    desk.a.limits.dup_max, desk.a.limits.dup_window_ms = 2, 100
    assert [desk.code(), desk.code()] == [PASS, PASS]
    desk.wait(100)
    assert [desk.code(), desk.code(qty=200), desk.code()] == [1202, PASS, PASS]
    assert desk.code() == PASS
    desk.wait(101)
    assert desk.code() == PASS
    desk.wait(101)  # a pause within the row breaks it too
    assert [desk.code(), desk.code(), desk.code()] == [PASS, PASS, 1202]


@pytest.mark.parametrize("name", ["rate_out_per_s", "rate_out_per_day"])
def test_r1204_rate_out_counts_cancels(desk: Desk, name: str) -> None:
    setattr(desk.a.limits, name, 2)
    order = desk.open()
    assert desk.model.cancel(desk.port, "A", order.request.cl_ord_id, desk.now_ns).code == PASS
    assert [desk.code(), desk.code(key=SZ_STOCK)] == [1204, PASS]
    desk.wait(1_100)
    assert desk.code() == (PASS if name == "rate_out_per_s" else 1204)


def test_r1205_rate_symbol(desk: Desk) -> None:
    desk.a.limits.rate_symbol_per_s = 1
    assert [desk.code(), desk.code(), desk.code(key=SZ_STOCK), desk.code(account="B")] == [PASS, 1205, PASS, PASS]


def test_r1208_open_count(desk: Desk) -> None:
    desk.a.limits.open_orders, desk.a.limits.open_orders_per_symbol = 2, 1
    first = desk.open()
    assert [desk.code(), desk.code(key=SZ_STOCK), desk.code(key=FUND)] == [1208, PASS, 1208]
    desk.model.canceled(first)
    assert desk.code() == PASS


def test_r1302_counts_what_is_held(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 300, sellable=200)
    order = desk.open(SELL, 100)
    assert [desk.code(SELL, 200), desk.code(SELL, 100)] == [1302, PASS]
    desk.model.canceled(order)
    assert desk.code(SELL, 100) == PASS
    desk.hold_shares(desk.a, STAR_STOCK, 250)
    assert [desk.code(SELL, qty, key=STAR_STOCK) for qty in (251, 250)] == [1302, PASS]


@pytest.mark.parametrize("scope", ["account", "group", "firm"])
def test_r1303_gross(desk: Desk, scope: str) -> None:
    limits = {"account": desk.a.limits, "group": desk.group.limits, "firm": desk.model.firm.limits}[scope]
    limits.gross_limit = 300 * TEN
    other = {"account": "A", "group": "B", "firm": "C"}[scope]
    desk.model.trade(desk.open(account=other), 100, TEN - 100)
    desk.open()
    assert desk.send(price=TEN + 200).scope == scope
    assert desk.code(price=TEN + 100) == PASS


@pytest.mark.parametrize("side", [BUY, SELL])
def test_r1304_net(desk: Desk, side: int) -> None:
    for account in (desk.a, desk.b):
        desk.hold_shares(account, MAIN_STOCK, 1_000)
    desk.group.limits = ScopeLimits(long_limit=200 * TEN, short_limit=200 * TEN)
    back = desk.open(SELL if side == BUY else BUY, account="B")
    desk.model.trade(back, 100, TEN)
    desk.open(side)
    decision = desk.send(side, qty=200)  # filled the other way does not lend room beyond what is open
    assert (decision.code, decision.scope) == (1304, "group")
    assert desk.code(side) == PASS


def test_r1305_position(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 100)
    desk.a.limits.position_limit_shares = 300
    desk.open()
    assert [desk.code(qty=200), desk.code(qty=100)] == [1305, PASS]


def test_r1305_risk_warning_stock(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 900_000)
    desk.model.instruments[MAIN_STOCK].risk_warning = True
    desk.model.trade(desk.open(qty=100_000), 100_000, TEN)
    desk.open(qty=300_000)
    assert [desk.code(qty=100_100), desk.code(qty=100_000)] == [1305, PASS]


def test_r1309_firm_capital(desk: Desk) -> None:
    desk.model.firm.capital_limit = 200 * TEN
    desk.open(account="C")
    assert [desk.code(price=TEN + 100), desk.code()] == [1309, PASS]


def test_the_ladder_has_the_codes_of_the_document_in_its_order() -> None:
    assert [code for code, _ in LADDER] == [
        1605, 1001, 1203, 1207, 1201, 1603, 1501, 1002, 1003, 1601, 1004, 1005, 1006, 1007, 1101, 1102, 1105, 1106,
        1110, 1103, 1107, 1108, 1401, 1202, 1204, 1205, 1208, 1301, 1302, 1303, 1304, 1305, 1309, 1206, 1207, 1303,
        1007, 1104, 1109, 1402, 1304, 1305, 1306, 1307, 1308, 1310, 1311,
    ]  # fmt: skip
