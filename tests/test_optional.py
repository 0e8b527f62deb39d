"""The ladder's optional rows in model and engine: each fires, and the nearest order does not; baskets, rearming."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ext import baskets, queries, sweeps, tape
from ext.engine import Engine
from gateway.pb import order_entry_pb2 as pb
from tests import actions as act
from tests.desk import MAIN_STOCK, START_NS, SZ_STOCK, TEN, Desk
from tests.driver import OpenJournal, message_of, open_state
from tests.model import Model
from tests.model_state import (
    BEST5_CANCEL,
    BUY,
    INDEX,
    LIMIT,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    PASS,
    S_SUSPENDED,
    SELL,
    XSHG,
    Instrument,
    NewOrder,
    Order,
    Quote,
    Strategy,
    Unit,
)
from tests.pair import Pair, Twin

LOT = 100 * TEN                                # worth of a hundred shares at ten yuan


@pytest.fixture(params=["model", "engine"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """The model alone, and the engine beside it."""
    model: Model | Twin = Model() if request.param == "model" else Twin(tmp_path / "journal")
    model.strategies["grid"] = Strategy("grid")
    model.strategies["twap"] = Strategy("twap")
    model.units["unit"] = Unit("unit", 10**17)
    yield Desk(model)
    if isinstance(model, Twin):
        model.close()


def ask(desk: Desk, side: int = BUY, qty: int = 100, price: int = TEN, *, account: str = "A",
        key: tuple[int, str] = MAIN_STOCK, kind: int = LIMIT, **more: object) -> tuple[int, Order | None]:  # fmt: skip
    """(code, order) of an order with a strategy, a parent or borrowed shares."""
    desk.count += 1
    request = NewOrder(f"o{desk.count}", account, key[1], key[0], side, kind, qty, price, **more)  # type: ignore[arg-type]
    decision = desk.model.new_order(desk.port, request, desk.now_ns)
    desk.model.invariants()
    return decision.code, decision.order


def code(desk: Desk, side: int = BUY, qty: int = 100, price: int = TEN, **more: object) -> int:
    """The code it is answered with; of a suspended order why it waits."""
    found, order = ask(desk, side, qty, price, **more)  # type: ignore[arg-type]
    return order.wait_code if order is not None and order.status == S_SUSPENDED else found


def passed(desk: Desk, side: int = BUY, qty: int = 100, price: int = TEN, **more: object) -> Order:
    found, order = ask(desk, side, qty, price, **more)  # type: ignore[arg-type]
    assert found == PASS
    assert order is not None
    return order


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strategy": "x" * 17}, 1605), ({"parent_id": "x" * 65, "parent_qty": 1}, 1605), ({"parent_qty": 100}, 1605),
        ({"parent_id": "P"}, 1605), ({"parent_id": "P", "parent_qty": 10**9 + 1}, 1605), ({"short_sale": True}, 1605),
        ({"strategy": "nobody"}, 1001), ({"strategy": "grid", "parent_id": "x" * 64, "parent_qty": 10**9}, PASS),
    ],
)  # fmt: skip
def test_new_fields_are_checked_before_anything_else(desk: Desk, fields: dict[str, object], expected: int) -> None:
    assert code(desk, **fields) == expected
    assert len(desk.model.orders) == (expected == PASS)


def test_an_order_for_another_strategy_is_another_order(desk: Desk) -> None:
    desk.open(cl_ord_id="same")
    for fields in ({"strategy": "grid"}, {"parent_id": "P", "parent_qty": 100}):
        request = NewOrder("same", "A", "600000", XSHG, BUY, LIMIT, 100, TEN, **fields)  # type: ignore[arg-type]
        assert desk.model.new_order(desk.port, request, desk.now_ns).code == 1201


def test_r1003_an_index_is_not_traded(desk: Desk) -> None:
    desk.model.instruments[XSHG, "000300"] = Instrument("000300", XSHG, INDEX, TEN)
    assert code(desk, key=(XSHG, "000300")) == 1003


def test_r1206_trades_switch_a_strategy_off_until_rearmed(desk: Desk) -> None:
    grid = desk.model.strategies["grid"]
    grid.raet_max, grid.raet_window_s = 2, 16
    for _ in range(2):
        desk.model.trade(passed(desk, strategy="grid"), 100, TEN, desk.now_ns)
        desk.wait(17_000)                      # the first trade is out of the window when the second comes
    assert code(desk, strategy="grid") == PASS
    for _ in range(2):
        desk.model.trade(desk.model.orders[-1], 50, TEN, desk.now_ns)
    assert [code(desk, strategy=name) for name in ("grid", "twap", "")] == [1206, PASS, PASS]
    desk.wait(3_600_000)
    assert code(desk, strategy="grid") == 1206


def test_r1207_rejects_switch_a_strategy_off(desk: Desk) -> None:
    desk.model.strategies["grid"].reject_streak_max = 2
    codes = [code(desk, qty=q, strategy="grid") for q in (1, 100, 1, 1, 100)]
    assert codes == [1101, PASS, 1101, 1101, 1207]
    assert code(desk, strategy="twap") == PASS


def test_r1303_of_a_strategy(desk: Desk) -> None:
    desk.model.strategies["grid"].gross_limit = 2 * LOT
    passed(desk, strategy="grid", account="C")
    assert code(desk, qty=200, strategy="grid") == 1303
    assert [code(desk, qty=200), code(desk, strategy="grid")] == [PASS, PASS]


@pytest.mark.parametrize(
    ("level", "lowest", "professional", "expected"),
    [
        (5, False, False, PASS), (3, False, False, PASS), (2, False, False, 1007), (1, True, False, 1007),
        (1, False, True, PASS),
    ],
)  # fmt: skip
def test_r1007_risk_levels(desk: Desk, level: int, lowest: bool, professional: bool, expected: int) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 100)
    desk.a.risk_level, desk.a.c1_lowest, desk.a.professional = level, lowest, professional
    assert code(desk) == expected
    assert code(desk, SELL, price=TEN + 100) == PASS      # what one has may always be sold


def test_r1104_share_of_volume_and_of_float(desk: Desk) -> None:
    stock = desk.model.instruments[MAIN_STOCK]
    desk.a.limits.adv_bps, desk.a.limits.float_bps = 100, 10
    assert code(desk, qty=90_000) == PASS                 # neither is known
    stock.adv20_shares, stock.float_shares = 100_000, 2_000_000
    assert [code(desk, qty=q) for q in (1_000, 1_100)] == [PASS, 1104]
    stock.adv20_shares = 0
    assert [code(desk, qty=q) for q in (2_000, 2_100)] == [PASS, 1104]


def test_r1109_net_notional_beyond_the_reference(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 10_000)
    desk.a.limits.price_window = (100, 1_600, 3 * LOT)    # 1 %, steps of 100 ms
    far, near = TEN + 1_100, TEN + 1_000
    assert [code(desk, qty=200, price=far), code(desk, qty=900, price=near)] == [PASS, PASS]
    assert code(desk, qty=100, price=far) == 1109         # 200 and 100 at 10.11 are worth more than 300 at 10
    desk.wait(1_600)
    assert code(desk, qty=100, price=far) == 1109
    desk.wait(100)
    assert code(desk, qty=200, price=far) == PASS
    assert [code(desk, qty=200, price=near, key=SZ_STOCK), code(desk, qty=100, account="C", price=far)] == [PASS, PASS]


def test_r1402_short_sales(desk: Desk) -> None:
    desk.a.located[MAIN_STOCK] = 300
    assert code(desk, SELL, short_sale=True) == 1402      # not on the list
    desk.model.instruments[MAIN_STOCK].shortable = True
    assert [code(desk, SELL, qty=q, short_sale=True) for q in (400, 200)] == [1402, PASS]
    assert [code(desk, SELL, price=p, short_sale=True) for p in (TEN - 100, TEN)] == [1402, PASS]
    assert code(desk, SELL, kind=BEST5_CANCEL, price=0, short_sale=True) == 1402
    assert code(desk, SELL, short_sale=True) == 1402      # all 300 are in use
    first = next(o for o in desk.model.orders if o.is_open)
    desk.model.trade(first, 100, TEN)
    desk.model.canceled(first)
    assert [code(desk, SELL, qty=q, short_sale=True) for q in (200, 100)] == [1402, PASS]
    assert code(desk, SELL) == 1302                       # borrowed shares are not the account's own


def test_r1304_per_instrument(desk: Desk) -> None:
    desk.hold_shares(desk.a, SZ_STOCK, 1_000)
    desk.a.limits.instrument_long_limit, desk.a.limits.instrument_short_limit = 2 * LOT, LOT
    desk.model.trade(passed(desk), 100, TEN)
    assert [code(desk, qty=200), code(desk), code(desk)] == [1304, PASS, 1304]
    assert code(desk, SELL, qty=200, key=SZ_STOCK) == 1304
    assert code(desk, SELL, key=SZ_STOCK) == PASS


def test_r1305_share_of_the_float(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 400)
    desk.a.limits.position_float_bps = 1_000
    desk.model.instruments[MAIN_STOCK].float_shares = 7_000
    passed(desk)
    assert [code(desk, qty=300), code(desk, qty=200), code(desk)] == [1305, PASS, 1305]


def test_r1306_concentration(desk: Desk) -> None:
    desk.a.cash0 = 20 * LOT
    desk.hold_shares(desk.a, MAIN_STOCK, 2_000)
    desk.a.limits.concentration_bps = 6_000               # of 40 lots' worth: 24
    assert [code(desk, qty=500), code(desk, qty=300)] == [1306, PASS]
    assert [code(desk, qty=200), code(desk), code(desk)] == [1306, PASS, 1306]
    desk.quote(MAIN_STOCK, TEN - 10_000, TEN, TEN - 10_000)
    assert code(desk) == PASS


@pytest.mark.parametrize("scope", ["account", "group", "firm"])
@pytest.mark.parametrize("name", ["order_value_per_day", "traded_value_per_day"])
def test_r1307_turnover(desk: Desk, scope: str, name: str) -> None:
    limits = {"account": desk.a.limits, "group": desk.group.limits, "firm": desk.model.firm.limits}[scope]
    setattr(limits, name, 3 * LOT)
    other = {"account": "A", "group": "B", "firm": "C"}[scope]
    desk.model.trade(passed(desk, account=other), 100, TEN)
    ended = passed(desk, account=other)
    desk.model.canceled(ended)                            # an order that ended untraded counts as ordered only
    decision = desk.send(qty=200)
    assert (decision.code, decision.scope) == ((1307, scope) if name.startswith("order") else (PASS, ""))
    assert desk.code() == PASS


@pytest.mark.parametrize("scope", ["account", "strategy", "firm"])
def test_r1308_loss(desk: Desk, scope: str) -> None:
    owner = {"account": desk.a.limits, "strategy": desk.model.strategies["grid"], "firm": desk.model.firm.limits}[scope]
    owner.loss_limit = 2 * LOT // 100                     # one percent of two lots
    desk.model.trade(passed(desk, qty=200, strategy="grid"), 200, TEN)
    desk.hold_shares(desk.a, SZ_STOCK, 0)
    desk.quote(MAIN_STOCK, TEN - 1_000, TEN, TEN - 1_000)
    assert code(desk, strategy="grid") == PASS            # at the limit
    desk.quote(MAIN_STOCK, TEN - 1_100, TEN, TEN - 1_100)
    assert code(desk, strategy="grid") == PASS            # marked less than a second ago
    desk.wait(1_000)
    assert code(desk, strategy="grid") == 1308
    assert code(desk, account="C") == (1308 if scope == "firm" else PASS)
    owner.loss_action = "CANCEL_ONLY"
    assert code(desk, strategy="grid", kind=BEST5_CANCEL, price=0) == 1308


def test_r1308_leaves_sells_alone_unless_told(desk: Desk) -> None:
    desk.hold_shares(desk.a, MAIN_STOCK, 1_000)
    desk.a.limits.loss_limit = 1
    desk.quote(MAIN_STOCK, TEN - 100, TEN, TEN - 100)
    assert [code(desk), code(desk, SELL, price=TEN + 100)] == [1308, PASS]
    desk.a.limits.loss_action = "CANCEL_ONLY"
    assert code(desk, SELL, price=TEN + 100) == 1308


def test_r1310_front_end_quota(desk: Desk) -> None:
    for account in (desk.a, desk.c):
        account.unit = desk.model.units["unit"]
        desk.hold_shares(account, SZ_STOCK, 1_000)
    desk.model.units["unit"].net_buy_quota = 3 * LOT
    bought, sold = passed(desk, qty=200), passed(desk, SELL, qty=200, price=TEN, key=SZ_STOCK, account="C")
    assert [code(desk, qty=200, account="C"), code(desk, qty=200, account="B")] == [1310, PASS]
    desk.model.trade(bought, 200, TEN)
    desk.model.trade(sold, 100, TEN)                      # an open sell lends no room, a filled one does
    assert [code(desk, qty=300), code(desk, qty=200), code(desk, account="C")] == [1310, PASS, 1310]


def test_r1311_children_stay_within_their_parent(desk: Desk) -> None:
    parent = {"parent_id": "P", "parent_qty": 500}
    first = passed(desk, qty=300, **parent)
    assert [code(desk, qty=300, **parent), code(desk, qty=300, account="B", **parent)] == [1311, PASS]
    desk.model.trade(first, 100, TEN)
    desk.model.canceled(first)                            # what did not trade may be sent again
    assert [code(desk, qty=500, **parent), code(desk, qty=300, **parent)] == [1311, PASS]
    assert code(desk, qty=100, parent_id="P", parent_qty=10_000) == PASS
    assert code(desk, qty=100, parent_id="P", parent_qty=10_000) == 1311


def test_r1311_the_smallest_parent_wins(desk: Desk) -> None:
    passed(desk, parent_id="P", parent_qty=1_000)
    passed(desk, parent_id="P", parent_qty=300)
    assert [code(desk, qty=q, parent_id="P", parent_qty=1_000) for q in (200, 100)] == [1311, PASS]


def test_r1502_soft_limits(desk: Desk) -> None:
    desk.a.limits.soft_ntl, desk.a.limits.soft_qty = 4 * LOT, 300
    assert [code(desk, qty=q) for q in (300, 400)] == [PASS, 1502]
    desk.a.limits.soft_qty = 0
    assert [code(desk, qty=q) for q in (400, 500)] == [PASS, 1502]
    desk.a.risk_level = 1
    assert code(desk, qty=500) == 1007                    # the first reason is told
    assert code(desk, qty=500, account="B") == PASS


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Model and engine beside each other, a strategy registered and quotes heard."""
    desk = Desk()
    desk.model.ports["p"] = desk.port
    desk.model.strategies["grid"] = Strategy("grid", reject_streak_max=1)
    for account in desk.model.accounts.values():
        account.limits.collar = dict.fromkeys((P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL), (10_000, 0))
    desk.a.limits.basket_lines, desk.a.limits.basket_ntl = 3, 10 * LOT
    desk.b.limits.gross_limit, desk.b.limits.basket_gross_bps = 100 * LOT, 1_000
    built = Pair(desk.model, tmp_path / "journal")
    for (exchange, symbol), instrument in desk.model.instruments.items():
        built.step(act.MarketQuote(START_NS, exchange, symbol, instrument.quote or Quote()))
    yield built
    built.driver.close()


def basket(pair: Pair, account: str, *quantities: int, **more: object) -> tuple[int, tuple[int, ...]]:
    number = len(pair.model.orders)
    lines = tuple(NewOrder(f"b{number}-{at}", account, "600000", XSHG, BUY, LIMIT, qty, TEN, **more)  # type: ignore[arg-type]
                  for at, qty in enumerate(quantities))  # fmt: skip
    outcome = pair.step(act.SubmitBasket(START_NS, "p", lines))
    pair.compare()
    return outcome.code, outcome.lines


def test_r1312_a_basket_over_a_cap_is_refused_line_by_line(pair: Pair) -> None:
    assert basket(pair, "A", 100, 100, 100, 100) == (1312, (1312,) * 4)
    assert basket(pair, "A", 500, 600) == (1312, (1312, 1312))
    assert basket(pair, "A", 500, 500) == (PASS, (PASS, PASS))
    assert basket(pair, "B", 500, 600) == (1312, (1312, 1312))
    assert basket(pair, "B", 500, 500) == (PASS, (PASS, PASS))
    assert basket(pair, "C", *[100] * 9) == (PASS, (PASS,) * 9)


def test_r1312_lines_of_a_good_basket_are_judged_each(pair: Pair) -> None:
    assert basket(pair, "A", 100, 1, 0) == (PASS, (PASS, 1101, 1605))


def test_a_person_rearms_a_strategy(pair: Pair) -> None:
    def order(name: str, qty: int) -> int:
        request = NewOrder(name, "C", "600000", XSHG, BUY, LIMIT, qty, TEN, strategy="grid")
        return pair.step(act.Submit(START_NS, "p", 0, request)).code

    assert [order("a", 1), order("b", 100)] == [1101, 1207]
    pair.step(act.Restart(START_NS))
    pair.step(act.Link(START_NS, XSHG, True))
    pair.step(act.MarketPhase(START_NS, XSHG, P_CONTINUOUS))
    pair.step(act.MarketQuote(START_NS, XSHG, "600000", Quote(TEN, TEN, TEN)))
    assert order("c", 100) == 1207                        # a restart is no person
    pair.step(act.Rearm(START_NS, "grid"))
    assert order("d", 100) == PASS
    pair.compare()


def test_rearm_names_a_strategy_and_a_person(pair: Pair) -> None:
    with pytest.raises(ValueError, match="no strategy 1, expected 0 to 0"):
        sweeps.rearm(pair.driver.engine, 1, "officer", START_NS)
    with pytest.raises(ValueError, match="got nobody"):
        sweeps.rearm(pair.driver.engine, 0, "", START_NS)


def test_r1603_the_table_of_parents_is_full(pair: Pair, tmp_path: Path) -> None:
    """Children of ever new parents, until no row is left; a known parent goes on."""
    file = OpenJournal(tmp_path / "parents")
    engine = Engine(open_state(70_000), file.journal)
    pair.driver.world.load(engine, pair.model, START_NS)
    engine.attach(tape.NullOutlet(), tape.NullOutlet())
    sweeps.set_link(engine, XSHG, True, START_NS)
    sweeps.set_phase(engine, XSHG, P_CONTINUOUS, START_NS)
    tape.quote(engine, XSHG, 600_000, START_NS, bid_px_e4=TEN, ask_px_e4=TEN, last_px_e4=TEN)

    def children(numbers: Iterable[int], name: str) -> Counter[str]:
        child = NewOrder("", "C", "600000", XSHG, BUY, LIMIT, 100, TEN, parent_qty=200)
        lines = [message_of(replace(child, cl_ord_id=f"{name}{n}", parent_id=f"P{n}")) for n in numbers]
        octets = [line.SerializeToString() for line in lines]
        answers = baskets.submit(engine, pair.driver.turn, 0, octets, (PASS, 0, 0), START_NS)
        return Counter(pb.ExecutionReport.FromString(answer).reject_code for answer in answers)

    for first in range(0, 1 << 16, 1 << 10):
        assert children(range(first, first + (1 << 10)), "a") == {"": 1 << 10}
    assert children([1 << 16], "a") == {"R1603": 1}
    assert children([5], "b") == {"": 1}
    assert children([5], "c") == {"R1311": 1}
    assert queries.check_invariants(engine) == []
