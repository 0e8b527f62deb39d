"""Sums computed again from the orders: true in any life, and each that is wrong by one is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ext import invariants
from tests import actions as act
from tests import probe
from tests.desk import TEN, Desk
from tests.model import Model
from tests.model_state import BUY, LIMIT, P_CLOSE_CALL, P_CONTINUOUS, P_OPEN_CALL, XSHG, NewOrder, Strategy
from tests.pair import Pair
from tests.seeded_life import START_NS


def desk() -> Model:
    """Wide limits, a strategy, and both exchanges open."""
    desk = Desk(now_ns=START_NS)
    desk.model.ports["p"] = desk.port
    desk.model.strategies = {"grid": Strategy("grid", 10**17)}
    for account in desk.model.accounts.values():
        account.limits.collar = dict.fromkeys((P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL), (10_000, 0))
    for exchange in desk.model.venues:
        desk.model.set_phase(exchange, P_CONTINUOUS, START_NS)
    return desk.model


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Open and filled orders of a group's two accounts and of a third, one of a strategy and of a parent order."""
    pair = Pair(desk(), tmp_path / "journal")
    for (exchange, symbol), instrument in pair.model.instruments.items():
        pair.step(act.MarketQuote(START_NS, exchange, symbol, instrument.quote))
    for number, account in enumerate(("A", "B", "C", "A", "B")):
        order = NewOrder(f"o{number}", account, "600000", XSHG, BUY, LIMIT, 300, TEN)
        if number in (0, 3):
            order.strategy, order.parent_id, order.parent_qty = "grid", "P", 1_000
        pair.step(act.Submit(START_NS, "p", 1, order))
        pair.step(act.VenueAnswer(START_NS, "accepted", account, f"o{number}"))
    pair.step(act.VenueAnswer(START_NS, "trade", "B", "o1", qty=100, px=TEN))
    pair.step(act.VenueAnswer(START_NS, "trade", "A", "o3", qty=300, px=TEN))
    pair.compare()
    yield pair
    pair.driver.close()


def test_what_is_right_is_found_right(pair: Pair) -> None:
    compared, faults = invariants.compare(pair.driver.engine)
    assert faults == []
    assert compared > 100


@pytest.mark.parametrize("what", probe.DISTURBANCES)
def test_whatever_is_wrong_by_one_is_found(pair: Pair, what: str) -> None:
    probe.disturb(pair.driver.state, what)
    _, faults = invariants.compare(pair.driver.engine)
    assert faults, what
    assert all(" found " in fault for fault in faults)


def test_no_more_faults_are_told_than_a_person_reads(pair: Pair) -> None:
    for _ in range(3):
        for what in probe.DISTURBANCES:
            probe.disturb(pair.driver.state, what)
    assert 5 < len(invariants.compare(pair.driver.engine)[1]) <= 20
