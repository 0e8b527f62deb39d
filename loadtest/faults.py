"""Faults on demand: a control connection of JSON lines that makes the exchange misbehave. Touches no book and no report.

One request a line, {"fault": NAME, ...}; one answer a line, {"ok": true, ...} or {"ok": false, "error": TEXT}:
- disconnect        drop every order-entry connection at once; clients may log on again
- refuse, accept    close new order-entry connections at once, and those that are there; take them again
- stall, resume     stop reading and answering order entry while its connections stay up; go on
- duplicate_report  send the newest report of every session once more, with the report index it had
- quotes_off, quotes_on  stop market data frames (status included) while the connections stay up; go on
- suspend, unsuspend {"symbol": "600519"}  one instrument
- status            counts: sessions, orders, trades, refusals, background orders
"""

import asyncio
import json
from typing import Any, Protocol

from loadtest.exchange_core import ExchangeCore

LINE_LIMIT = 4096


class OrderEntryFaults(Protocol):
    """What order entry can be told to do wrong."""

    def disconnect(self) -> int: ...
    def refuse(self, refusing: bool) -> None: ...
    def stall(self, stalled: bool) -> None: ...
    def duplicate_report(self) -> int: ...
    def session_count(self) -> int: ...


class Faults:
    """Applies one fault to the exchange."""

    def __init__(self, core: ExchangeCore, orders: OrderEntryFaults) -> None:
        self.core = core
        self.orders = orders

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

    def apply_refuse(self, request: dict[str, Any]) -> None:
        self.orders.refuse(True)
        self.orders.disconnect()

    def apply_accept(self, request: dict[str, Any]) -> None:
        self.orders.refuse(False)

    def apply_stall(self, request: dict[str, Any]) -> None:
        self.orders.stall(True)

    def apply_resume(self, request: dict[str, Any]) -> None:
        self.orders.stall(False)

    def apply_duplicate_report(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"reports": self.orders.duplicate_report()}

    def apply_quotes_off(self, request: dict[str, Any]) -> None:
        self.core.feed.muted = True

    def apply_quotes_on(self, request: dict[str, Any]) -> None:
        self.core.feed.muted = False

    def apply_suspend(self, request: dict[str, Any]) -> None:
        self.core.market.suspend(symbol_of(request), True)

    def apply_unsuspend(self, request: dict[str, Any]) -> None:
        self.core.market.suspend(symbol_of(request), False)

    def apply_status(self, request: dict[str, Any]) -> dict[str, Any]:
        core = self.core
        return {"sessions": self.orders.session_count(), "accepted": core.accepted_count, "rejected": core.rejected_count,
                "trades": core.market.trade_count, "resting": core.market.live_orders(),
                "background": core.background_count, "background_refused": core.background_refused_count,
                "phase": core.market.phase, "feed_cut": core.feed.cut_count}


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
