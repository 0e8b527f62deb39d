"""Faults on demand: a control connection of JSON lines that makes the exchange misbehave. Touches no book, no report.

One request a line, {"fault": NAME, ...}; one answer a line, {"ok": true, ...} or {"ok": false, "error": TEXT}:
- disconnect        drop every order-entry connection without a word; clients may log on again
- refuse, accept    close the order-entry port and drop its connections, as if the exchange were down; open it again
- stall, resume     stop reading and writing on the live sessions while their connections stay up; go on
- repeat_report     send the next report of every session twice, with the report index it had
- skip_report       leave out the next report of every session: a gap in its numbers
- quotes_off, quotes_on  stop market data frames (status included) while the connections stay up; go on
- suspend, unsuspend {"symbol": "600519"}  one instrument
- advance {"to": "14:57:00"}  move the market's clock forward; phases and flow on the way happen in order
- status            counts: sessions, orders, trades, refusals, background orders
"""

import asyncio
import json
from datetime import time
from typing import Any

from ext.clock import utc_now_ns
from loadtest.exchange_core import ExchangeCore
from loadtest.market_day import MarketDay
from loadtest.order_desk import OrderDesk

LINE_LIMIT = 4096


class Faults:
    """Applies one fault to the exchange."""

    def __init__(self, core: ExchangeCore, orders: OrderDesk, day: MarketDay) -> None:
        self.core = core
        self.day = day
        self.orders = orders
        self.opening: asyncio.Task[None] | None = None

    def apply(self, line: bytes) -> dict[str, Any]:
        """Apply one request line; returns its answer."""
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": "expected one JSON object a line"}
        fault = request.get("fault") if isinstance(request, dict) else None
        apply = getattr(self, f"apply_{fault}", None) if isinstance(fault, str) else None
        if apply is None:
            names = sorted(name.removeprefix("apply_") for name in dir(self) if name.startswith("apply_"))
            return {"ok": False, "error": f"fault: {fault!r}, expected one of {', '.join(names)}"}
        try:
            return {"ok": True, **(apply(request) or {})}
        except ValueError as error:
            return {"ok": False, "error": str(error)}

    def apply_disconnect(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"connections": self.orders.disconnect()}

    def apply_refuse(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"connections": self.orders.refuse()}

    def apply_accept(self, request: dict[str, Any]) -> None:
        self.opening = asyncio.get_running_loop().create_task(self.orders.accept())

    def apply_stall(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self.orders.stall(True)}

    def apply_resume(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self.orders.stall(False)}

    def apply_repeat_report(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self.orders.repeat_report()}

    def apply_skip_report(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"sessions": self.orders.skip_report()}

    def apply_quotes_off(self, request: dict[str, Any]) -> None:
        self.core.feed.muted = True

    def apply_quotes_on(self, request: dict[str, Any]) -> None:
        self.core.feed.muted = False

    def apply_suspend(self, request: dict[str, Any]) -> None:
        self.core.market.suspend(symbol_of(request), True)

    def apply_unsuspend(self, request: dict[str, Any]) -> None:
        self.core.market.suspend(symbol_of(request), False)

    def apply_advance(self, request: dict[str, Any]) -> None:
        try:
            to = time.fromisoformat(str(request.get("to")))
        except ValueError:
            raise ValueError(f"to: {request.get('to')!r}, expected HH:MM:SS") from None
        self.day.advance_to(to, utc_now_ns())

    def apply_status(self, request: dict[str, Any]) -> dict[str, Any]:
        core = self.core
        return {
            "sessions": len(self.orders.live()), "accepted": core.accepted_count, "rejected": core.rejected_count,
            "door_rejects": core.desk.door_rejects, "unsaid": core.desk.unsaid, "trades": core.market.trade_count,
            "resting": core.market.live_orders(), "background": core.background_count,
            "background_refused": core.background_refused_count, "phase": core.market.phase,
            "feed_cut": core.feed.cut_count,
        }


def symbol_of(request: dict[str, Any]) -> int:
    symbol = request.get("symbol")
    if not isinstance(symbol, str) or len(symbol) != 6 or not symbol.isdecimal():
        raise ValueError(f"symbol: {symbol!r}, expected six digits")
    return int(symbol)


class ControlProtocol(asyncio.Protocol):
    """One control connection."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.waiting = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, octets: bytes) -> None:
        *lines, self.waiting = (self.waiting + octets).split(b"\n")
        for line in lines:
            self.answer(self.faults.apply(line))
        if len(self.waiting) > LINE_LIMIT and self.transport is not None:
            self.answer({"ok": False, "error": f"line of more than {LINE_LIMIT} bytes"})
            self.transport.close()

    def answer(self, answer: dict[str, Any]) -> None:
        if self.transport is not None:
            self.transport.write(json.dumps(answer).encode() + b"\n")
