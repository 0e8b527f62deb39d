"""The matching engine against recorded Shanghai days: every trade, every cancelled quantity, every snapshot."""

import pytest
from ext.matching import Market, MatchLog

from loadtest.universe import REPLAYED_PREV_CLOSE_E4, price_limits_e4
from tests import real_flow
from tests.real_flow import MOUTAI, PHASE_STARTS_US, THREE_STOCKS, Request

XSHG, LIMIT, PASS = 1, 1, 1


class Replay:
    """One recorded day fed to a Market; cookies are the recorded order numbers."""

    def __init__(self, folder: str, cage_bps: int) -> None:
        self.flow = real_flow.requests(folder)
        self.symbol_of = {request.order_no: request.symbol for request in self.flow if not request.cancel}
        self.log = MatchLog()
        self.market = Market(XSHG, self.log)
        for symbol, prev_close_e4 in REPLAYED_PREV_CLOSE_E4.items():
            up, down = price_limits_e4(prev_close_e4, limit_pct=10)
            self.market.list_instrument(int(symbol), tick_e4=100, up_limit_e4=up, down_limit_e4=down,
                                        prev_close_e4=prev_close_e4, cage_bps=cage_bps)
        self.phases = list(PHASE_STARTS_US)
        self.seen = 0
        self.placed: dict[int, tuple[int, int]] = {}
        self.trades: dict[int, list[tuple[int, int, int, int, int]]] = {}
        self.wrong: list[str] = []

    def reach(self, ts_us: int) -> None:
        """Enter every phase that begins by ts_us."""
        while self.phases and self.phases[0][0] <= ts_us:
            self.market.enter_phase(self.phases.pop(0)[1])

    def collect(self) -> None:
        for kind, *fields in self.log.events[self.seen:]:
            if kind == "accepted":
                self.placed[fields[0]] = (fields[1], fields[2])
            elif kind == "trade":
                self.trades.setdefault(self.symbol_of[fields[1]], []).append(tuple(fields[1:]))
        self.seen = len(self.log.events)

    def feed(self, request: Request) -> None:
        self.reach(request.ts_us)
        if request.cancel:
            slot, order_no = self.placed[request.order_no]
            reason = self.market.cancel_order(slot, order_no)
            if reason != PASS or self.log.events[-1] != ("canceled", request.order_no, request.qty_shares):
                self.wrong.append(f"cancel {request}: reason {reason}, {self.log.events[-1]}")
            return
        reason = self.market.new_order(request.symbol, request.side, LIMIT, request.qty_shares, request.price_e4,
                                       request.order_no)
        if reason != PASS:
            self.wrong.append(f"order {request}: reason {reason}")
        self.collect()

    def run(self) -> None:
        for request in self.flow:
            self.feed(request)
        self.reach(PHASE_STARTS_US[-1][0])
        self.collect()


# The cage came into force on 2023-04-10, between the two recorded days.
@pytest.mark.parametrize(("folder", "trades", "cage_bps"), [(THREE_STOCKS, 67_860, 200), (MOUTAI, 27_135, 0)])
def test_every_recorded_trade_and_cancel_is_reproduced(folder: str, trades: int, cage_bps: int) -> None:
    recorded = real_flow.trades(folder)
    assert sum(map(len, recorded.values())) == trades
    replay = Replay(folder, cage_bps)
    replay.run()
    assert replay.wrong == []
    assert replay.trades.keys() == recorded.keys()
    for symbol, expected in recorded.items():
        assert replay.trades[symbol] == expected, f"{symbol:06d}"


SLACK_US = 6_000_000  # between a snapshot's stamp and the moment the exchange took it


def test_rebuilt_book_equals_every_recorded_snapshot() -> None:
    replay = Replay(MOUTAI, cage_bps=0)
    flow = iter(replay.flow)
    following = next(flow)
    missed = []
    snapshots = real_flow.snapshots(MOUTAI)
    assert len(snapshots) == 4751
    for snapshot in snapshots:
        taken_us = real_flow.time_us(snapshot["UpdateTime"])
        bids, asks = real_flow.levels(snapshot, "Bid"), real_flow.levels(snapshot, "Ask")
        while (replay.market.depth(600519, 1, 10), replay.market.depth(600519, 2, 10)) != (bids, asks):
            if following.ts_us > taken_us + SLACK_US:
                missed.append(snapshot["UpdateTime"])
                break
            replay.feed(following)
            following = next(flow)
    assert missed == []
