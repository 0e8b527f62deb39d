"""A plain blocking client of one exchange's order entry, and the exchange as a child process. For tests only."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ext.venue_sse import SseWire
from ext.venue_szse import SzseWire

TRADE_DATE = 20261123
COMP_ID, PBU = "TIDEGATE", "T00001"
ACCEPTED, CANCELED, REJECTED, TRADE, CANCEL_REJECTED, BUSINESS_REJECT = range(1, 7)


class VenueClient:
    """Logs on, synchronises from the first report, sends orders, collects reports."""

    def __init__(self, venue: str, port: int, trade_date: int = TRADE_DATE, begin: int = 1) -> None:
        self.venue = venue
        self.wire: Any = SseWire(PBU, trade_date) if venue == "XSHG" else SzseWire(PBU)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.waiting = b""
        self.sent = 0
        self.begin = begin
        self.platform_states: list[int] = []
        self.ended: list[int] = []
        self.log_on(trade_date)

    def log_on(self, trade_date: int) -> None:
        fields: dict[str, Any] = {"sender_comp_id": COMP_ID, "target_comp_id": self.venue, "heart_bt_int": 10}
        if self.venue == "XSHG":
            fields |= {"prtc_version": "1.00", "trade_date": trade_date, "q_size": 0}
        else:
            fields |= {"password": "", "default_appl_ver_id": "1.02"}
        self.send_session(self.wire.logon_type, fields)
        partitions = self.expect(208 if self.venue == "XSHG" else 9)
        if self.venue == "XSHG":
            groups = [{"pbu": PBU, "set_id": s["set_id"], "begin_report_index": self.begin}
                      for s in partitions["set_ids"]]
            self.send_session(206, {"groups": groups})
            self.expect(207)
        else:
            self.send_session(5, {"partitions": [{"partition_no": p["partition_no"], "report_index": self.begin}
                                                 for p in partitions["partitions"]]})

    def send_session(self, msg_type: int, fields: dict[str, Any]) -> None:
        self.sent += 1
        self.socket.sendall(self.wire.encode_session(msg_type, fields, self.sent))

    def order(self, cl_ord_id: str, symbol: int, side: int, price: float, qty: int, ord_type: int = 1) -> bytes:
        """The frame of one order; `send` sends it."""
        self.sent += 1
        return self.wire.encode("order", {
            "cl_ord_id": cl_ord_id, "account": "A123456789", "symbol": symbol, "side": side, "ord_type": ord_type,
            "owner_type": 1, "order_qty_shares": qty, "price_e4": round(price * 10_000),
            "time_ns": 1_795_400_000_000_000_000}, self.sent)

    def cancel(self, cl_ord_id: str, orig_cl_ord_id: str, symbol: int, side: int, qty: int) -> bytes:
        """The frame of one cancel; `send` sends it."""
        self.sent += 1
        return self.wire.encode("cancel", {
            "cl_ord_id": cl_ord_id, "orig_cl_ord_id": orig_cl_ord_id, "account": "A123456789", "symbol": symbol,
            "side": side, "owner_type": 1, "order_qty_shares": qty, "venue_order_id": "",
            "time_ns": 1_795_400_000_000_000_000}, self.sent)

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(frames))

    def next(self) -> tuple[str, Any]:
        """("session", (msg_type, fields)) or ("report", fields); ConnectionError when the exchange hangs up."""
        while True:
            size, kind, fields = self.wire.decode(self.waiting)
            if size > 0:
                self.waiting = self.waiting[size:]
                return kind, fields
            octets = self.socket.recv(1 << 16)
            if not octets:
                raise ConnectionError("the exchange hung up")
            self.waiting += octets

    def expect(self, msg_type: int) -> dict[str, Any]:
        """The next session message of this type."""
        while True:
            kind, fields = self.next()
            if kind == "session":
                self.note(*fields)
                if fields[0] == msg_type:
                    return fields[1]

    def note(self, msg_type: int, fields: dict[str, Any]) -> None:
        if "platform_state" in fields:
            self.platform_states.append(fields["platform_state"])
        if msg_type in (210, 7):
            self.ended.append(msg_type)

    def report(self) -> dict[str, Any]:
        """The next report."""
        while True:
            kind, fields = self.next()
            if kind == "report":
                return fields
            self.note(*fields)

    def reports(self, count: int) -> list[dict[str, Any]]:
        return [self.report() for _ in range(count)]

    def close(self) -> None:
        self.socket.close()


class Control:
    """The exchange's control connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.lines = self.socket.makefile("rb")

    def __call__(self, fault: str, **fields: Any) -> dict[str, Any]:
        self.socket.sendall(json.dumps({"fault": fault, **fields}).encode() + b"\n")
        return json.loads(self.lines.readline())


@contextmanager
def running_exchange(venue: str, instruments: Path, *flags: str) -> Iterator[dict[str, Any]]:
    """The exchange as a process of its own; yields its ready line (with its pid), ends it with SIGTERM."""
    command = [sys.executable, "-m", "loadtest.cli", venue, "--instruments", str(instruments), *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=Path(__file__).resolve().parents[1], env=dict(os.environ))
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield {**json.loads(line), "pid": process.pid}
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors, errors


def wait_until(true: Any, seconds: float = 5.0) -> None:
    """Poll until true() holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)
