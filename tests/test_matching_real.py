"""The matching engine against recorded Shanghai days: every trade, every cancelled quantity, every snapshot."""

from pathlib import Path
from typing import Any

import pytest

from ext.matching import Market, MatchLog
from loadtest.universe import REPLAYED_PREV_CLOSE_E4, list_share, price_limits_e4, write_instruments
from tests import real_flow
from tests.real_flow import MOUTAI, PHASE_STARTS_US, THREE_STOCKS, Request
from tests.venue_client import ACCEPTED, CANCELED, TRADE, Control, VenueClient, running_exchange, wait_until

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


# ---- the same flow through the simulated exchange's order entry


class SocketReplay:
    """A recorded day sent to XSHG over its binary protocol; ClOrdIDs are the recorded order numbers."""

    def __init__(self, client: VenueClient, control: Control) -> None:
        self.client = client
        self.control = control
        self.frames: list[bytes] = []
        self.unanswered = 0
        self.canceling: dict[str, int] = {}
        self.fills: dict[tuple[int, str], dict[int, dict[str, Any]]] = {}
        self.fill_count = 0
        self.wrong: list[str] = []

    def run(self, flow: list[Request], trades: int) -> None:
        """Every request in its phase, then every report."""
        phases = list(PHASE_STARTS_US)
        for request in flow:
            while phases and phases[0][0] <= request.ts_us:
                self.enter(*phases.pop(0))
            self.put(request)
        for phase in phases:
            self.enter(*phase)
        while self.fill_count < 2 * trades:
            self.take(self.client.report())

    def enter(self, at_us: int, phase: int) -> None:
        """Send what waits, read until every order and cancel of it is answered, and move the market's clock."""
        self.client.send(*self.frames)
        self.frames.clear()
        while self.unanswered:
            self.take(self.client.report())
        seconds = at_us // 1_000_000
        to = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        assert self.control("advance", to=to)["ok"]
        wait_until(lambda: self.control("status")["phase"] == phase)

    def put(self, request: Request) -> None:
        name, symbol, side, qty = str(request.order_no), request.symbol, request.side, request.qty_shares
        self.unanswered += 1
        if request.cancel:
            self.canceling[f"C{name}"] = qty
            self.frames.append(self.client.cancel(f"C{name}", name, symbol, side, qty))
        else:
            self.frames.append(self.client.order(name, symbol, side, request.price_e4 / 10_000, qty))

    def take(self, report: dict[str, Any]) -> None:
        if report["kind"] == TRADE:
            self.fills.setdefault((report["symbol"], report["exec_id"]), {})[report["side"]] = report
            self.fill_count += 1
            return
        self.unanswered -= 1
        canceled = self.canceling.get(report["cl_ord_id"], 0)
        if report["kind"] != (CANCELED if canceled else ACCEPTED) or report["canceled_qty_shares"] != canceled:
            self.wrong.append(f"{report}, expected {canceled} canceled")

    def trades(self) -> dict[int, list[tuple[int, int, int, int]]]:
        """Per symbol in order of exec_id: (buy order, sell order, price_e4, shares); both sides say the same."""
        found: dict[int, list[tuple[int, int, int, int]]] = {}
        for (symbol, exec_id), sides in sorted(self.fills.items()):
            buy, sell = sides[1], sides[2]
            if (buy["last_px_e4"], buy["last_qty_shares"]) != (sell["last_px_e4"], sell["last_qty_shares"]):
                self.wrong.append(f"{exec_id}: {buy}, {sell}")
            found.setdefault(symbol, []).append((int(buy["cl_ord_id"]), int(sell["cl_ord_id"]), buy["last_px_e4"],
                                                 buy["last_qty_shares"]))
        return found


@pytest.mark.parametrize(("folder", "cage"), [(THREE_STOCKS, "--cage"), (MOUTAI, "--no-cage")])
def test_the_same_flow_through_order_entry(folder: str, cage: str, tmp_path: Path) -> None:
    flow = real_flow.requests(folder)
    recorded = {symbol: [trade[:4] for trade in trades] for symbol, trades in real_flow.trades(folder).items()}
    instruments = tmp_path / "instruments.csv"
    write_instruments(instruments, [list_share(symbol, symbol, 0, 0, "NORMAL", 0) for symbol in REPLAYED_PREV_CLOSE_E4])
    flags = ("--clock", "09:00:00", "--speed", "0", "--empty", "--partitions", "3", cage)
    with running_exchange("XSHG", instruments, *flags) as ready:
        control = Control(ready["control_port"])
        control("advance", to="09:15:00")
        replay = SocketReplay(VenueClient("XSHG", ready["order_entry_port"]), control)
        replay.run(flow, sum(map(len, recorded.values())))
        assert control("status")["trades"] == replay.fill_count // 2
        replay.client.close()
    assert replay.trades() == recorded
    assert replay.wrong == []
