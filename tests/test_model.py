"""The reference model against the boundary vectors of the rule catalogue, and over an order's life."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.desk import CHINEXT_STOCK, FUND, MAIN_STOCK, RICH, STAR_STOCK, TEN, YUAN, Desk
from tests.model_state import (
    BEST5_CANCEL,
    BUY,
    LIMIT,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_ENDED,
    P_LUNCH,
    P_OPEN_CALL,
    P_OPEN_CALL_LOCKED,
    P_QUIET,
    PASS,
    SELL,
    XSHG,
    Fees,
    price_limits,
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


# Section 2.7, row by row


@pytest.mark.parametrize(
    ("key", "kind", "qty", "expected"),
    [
        (MAIN_STOCK, LIMIT, 150, 1101), (MAIN_STOCK, LIMIT, 100, PASS), (MAIN_STOCK, LIMIT, 1_000_000, PASS),
        (MAIN_STOCK, LIMIT, 1_000_100, 1102), (STAR_STOCK, LIMIT, 199, 1101), (STAR_STOCK, LIMIT, 200, PASS),
        (STAR_STOCK, LIMIT, 201, PASS), (STAR_STOCK, LIMIT, 100_001, 1102), (STAR_STOCK, BEST5_CANCEL, 50_001, 1102),
        (CHINEXT_STOCK, LIMIT, 300_000, PASS), (CHINEXT_STOCK, LIMIT, 300_100, 1102),
        (CHINEXT_STOCK, BEST5_CANCEL, 150_100, 1102),
    ],
)  # fmt: skip
def test_vector_buy_quantity(desk: Desk, key: tuple[int, str], kind: int, qty: int, expected: int) -> None:
    assert desk.code(BUY, qty, TEN, key=key, kind=kind) == expected


@pytest.mark.parametrize(("qty", "expected"), [(250, PASS), (50, PASS), (150, PASS), (30, 1101)])
def test_vector_odd_lot_sell(desk: Desk, qty: int, expected: int) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 250)
    assert desk.code(SELL, qty) == expected


def test_odd_lot_looks_at_what_is_not_held_yet(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 250)
    desk.open(SELL, 50)
    assert desk.code(SELL, 50) == 1101
    desk.hold_shares(desk.a, STAR_STOCK, 350)
    desk.open(SELL, 200, key=STAR_STOCK)
    assert desk.code(SELL, 149, key=STAR_STOCK) == 1101
    assert desk.code(SELL, 150, key=STAR_STOCK) == PASS


@pytest.mark.parametrize(
    ("prev_close", "percent", "limits"),
    [(100_500, 10, (110_600, 90_500)), (TEN, 5, (105_000, 95_000)), (TEN, 10, (110_000, 90_000))],
)
def test_vector_price_limits(prev_close: int, percent: int, limits: tuple[int, int]) -> None:
    assert price_limits(prev_close, percent) == limits


@pytest.mark.parametrize(
    ("ask1", "price", "expected"),
    [(40_000, 41_000, PASS), (40_000, 41_100, 1107), (200_000, 204_000, PASS), (200_000, 204_100, 1107)],
)
def test_vector_cage(desk: Desk, ask1: int, price: int, expected: int) -> None:
    instrument = desk.model.instruments[MAIN_STOCK]
    instrument.up_limit, instrument.down_limit = price_limits(ask1, 10)
    desk.quote(MAIN_STOCK, ask1=ask1)
    assert desk.code(price=price) == expected
    for phase in (P_OPEN_CALL_LOCKED, P_CLOSE_CALL):
        desk.phase(phase)
        assert desk.code(price=price) == PASS
        assert desk.code(price=instrument.up_limit + 100) == 1106


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("09:19:59.9", PASS), ("09:20:00", 1004), ("09:24:59", 1004), ("09:30:00", PASS), ("14:56:59", PASS),
     ("14:57:00", 1004), ("09:27:00", 1004), ("12:00:00", PASS), ("15:00:00", 1004), ("09:10:00", 1004)],
)  # fmt: skip
def test_vector_cancel_windows(desk: Desk, clock: str, expected: int) -> None:
    order = desk.open()
    desk.phase(phase_at(clock))
    assert desk.model.cancel(desk.port, "A", order.request.cl_ord_id, desk.now_ns).code == expected


def phase_at(clock: str) -> int:
    """The phase of a Shanghai wall-clock time, section 2.4."""
    starts = [("00:00", 1), ("09:15", P_OPEN_CALL), ("09:20", P_OPEN_CALL_LOCKED), ("09:25", P_QUIET),
              ("09:30", P_CONTINUOUS), ("11:30", P_LUNCH), ("13:00", P_CONTINUOUS), ("14:57", P_CLOSE_CALL),
              ("15:00", P_ENDED)]  # fmt: skip
    return [phase for start, phase in starts if start <= clock][-1]


@pytest.mark.parametrize(("key", "expected"), [(MAIN_STOCK, 1302), (FUND, PASS)])
def test_vector_sell_what_was_bought_today(desk: Desk, key: tuple[int, str], expected: int) -> None:
    order = desk.open(key=key)
    desk.model.trade(order, 100, TEN)
    assert desk.code(SELL, key=key) == expected


@pytest.mark.parametrize(
    ("cash", "expected"), [(1_000 * YUAN, 1301), (1_005 * YUAN + 99, 1301), (1_005 * YUAN + 100, PASS)]
)
def test_vector_cash_for_fees(desk: Desk, cash: int, expected: int) -> None:
    desk.a.fees = Fees(commission_min_e4=5 * YUAN, commission_rate=2_500, transfer_rate=100)
    desk.a.cash0 = cash                       # transfer fee 0.001% of 1,000.00 is 0.01
    assert desk.code() == expected
    assert desk.model.cash_held(desk.a) == (cash if expected == PASS else 0)


def test_vector_market_buy_holds_the_up_limit(desk: Desk) -> None:
    desk.a.cash0 = 1_050 * YUAN
    assert desk.code(kind=BEST5_CANCEL, price=0) == 1301
    assert desk.code(kind=BEST5_CANCEL, price=104_900) == PASS


def test_vector_self_match_with_a_linked_account(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 100)
    desk.open(SELL)
    assert desk.code(BUY, account="B") == 1401
    assert desk.code(BUY, price=TEN - 100, account="B") == PASS
    assert desk.code(BUY, account="C") == PASS


# The ledger over an order's life


def test_hold_follows_a_buy_through_fills_and_cancel(desk: Desk) -> None:
    desk.a.fees = Fees(commission_min_e4=5 * YUAN, commission_rate=3_000, transfer_rate=100)
    order = desk.open(qty=1_000)
    ntl = 1_000 * TEN
    assert desk.model.cash_held(desk.a) == ntl + 5 * YUAN + 1_000
    desk.model.trade(order, 400, TEN - 1_000)
    assert desk.model.cash(desk.a) == RICH - 400 * (TEN - 1_000) - 5 * YUAN - 396
    assert desk.model.cash_held(desk.a) == 600 * TEN + 600  # the minimum commission is paid already
    assert desk.model.usage([desk.a]).gross == 600 * TEN + 400 * (TEN - 1_000)
    desk.model.cancel(desk.port, "A", order.request.cl_ord_id, desk.now_ns)
    assert desk.model.cash_held(desk.a) == 600 * TEN + 600
    desk.model.canceled(order)
    assert desk.model.cash_held(desk.a) == 0
    assert desk.model.usage([desk.a]).gross == 400 * (TEN - 1_000)


def test_stamp_duty_only_when_selling(desk: Desk) -> None:
    fees = Fees(transfer_rate=100, stamp_rate=5_000)
    assert (fees.of(BUY, 10**7), fees.of(SELL, 10**7), fees.of(SELL, 0)) == (100, 5_100, 0)
    assert fees.of(BUY, 1) == 1


def test_cancel_codes(desk: Desk) -> None:
    order = desk.open()
    cancel = lambda name="o1", account="A": desk.model.cancel(desk.port, account, name, desk.now_ns).code  # noqa: E731
    assert [cancel("other"), cancel(account="Z"), cancel(account="")] == [1604, 1001, 1605]
    desk.model.set_link(XSHG, False, desk.now_ns)
    assert cancel() == 1601
    desk.model.set_link(XSHG, True, desk.now_ns)
    assert [cancel(), cancel()] == [PASS, 1607]
    desk.model.cancel_rejected(order)
    assert cancel() == PASS
    desk.model.canceled(order)
    assert cancel() == 1606
    desk.port.cancel_rate_in_per_s = 1
    assert cancel() == 1203
