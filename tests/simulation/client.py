"""A front end: it orders, cancels, repeats what was not answered, and comes back from wherever its stream broke off.

It never gives an order up and never asks for the same under another cl_ord_id.
"""

from __future__ import annotations

from typing import Any

from gateway.pb import order_entry_pb2 as pb
from tests.simulation import edge
from tests.simulation.network import CALLER, Stream
from tests.simulation.scene import (
    ACCOUNT_NAMES,
    ACCOUNTS,
    BUY,
    CLOSE_E4,
    INDEX_OF,
    LIMIT,
    MARKET,
    MS,
    PORTS,
    SELL,
    SYMBOL_TEXTS,
    SYMBOLS,
    TICK_E4,
    TOKENS,
    VENUE_OF,
)

TICKS, LOTS = 15, 60
FILLED = 4  # from here on an order is over


class Wanted:
    """One order as its client wants it."""

    __slots__ = (
        "account",
        "answered",
        "asked",
        "cl_ord_id",
        "closed",
        "instrument",
        "octets",
        "ord_type",
        "order_no",
        "port",
        "price",
        "qty",
        "side",
    )

    def __init__(
        self, client: Client, account: int, instrument: int, side: int, ord_type: int, qty: int, price: int
    ) -> None:
        self.account, self.instrument, self.side, self.ord_type, self.qty, self.price = (
            account,
            instrument,
            side,
            ord_type,
            qty,
            price,
        )
        self.asked = account, instrument, side, ord_type, qty, price
        self.cl_ord_id = b"c%d-%d" % (client.port, client.count)
        self.port, self.answered, self.closed, self.order_no = client.port, False, False, 0
        self.octets = edge.new_order(
            self.cl_ord_id,
            ACCOUNT_NAMES[account],
            SYMBOL_TEXTS[instrument],
            VENUE_OF[instrument],
            side,
            ord_type,
            qty,
            price,
        )


class Client:
    """One session of one token."""

    def __init__(self, world: Any, port: int) -> None:
        self.world, self.port, self.accounts = world, port, PORTS[port]
        self.cursors = dict.fromkeys(self.accounts, 0)  # account -> the last event sequence seen
        self.stream: Stream | None = None
        self.is_logged_on = False
        self.count = 0
        self.unanswered: dict[bytes, Wanted] = {}
        self.live: list[Wanted] = []
        self.reconnects = False
        self.calls = 0
        self.on_disconnect = pb.CancelOnDisconnect(enabled=world.random() < 0.3, grace_ms=int(world.random() * 10))
        world.after(0, self.reconnect, None)
        world.after(MS, self.act, None)

    # The stream

    def reconnect(self, _: Any) -> Any:
        self.reconnects = False
        if self.stream is not None:
            return False
        self.calls += 1
        stream = self.world.call_shard(self.calls)
        if stream is None:
            self.come_back(2 * MS)
            return True
        stream.receive[CALLER] = self.on_message
        stream.lost[CALLER] = self.on_lost
        self.stream = stream
        cursors = [pb.AccountCursor(account=ACCOUNTS[at], last_event_seq=seq) for at, seq in self.cursors.items()]
        logon = pb.Logon(token=TOKENS[self.port], accounts=cursors, cancel_on_disconnect=self.on_disconnect)
        stream.send(CALLER, pb.ClientMessage(logon=logon).SerializeToString())
        return True

    def come_back(self, after_ns: int) -> None:
        if not self.reconnects:
            self.reconnects = True
            self.world.after(after_ns, self.reconnect, None)

    def on_lost(self, stream: Stream) -> Any:
        if stream is not self.stream:
            return False
        self.stream, self.is_logged_on = None, False
        self.come_back(MS + int(self.world.random() * 3 * MS))
        return True

    def hang_up(self) -> None:
        """Leave without a word: the shard hears of it later."""
        if self.stream is not None:
            self.stream.cut(after_ns=(0, int(self.world.random() * 5 * MS)))

    def has_answers(self) -> bool:
        return all(wanted.answered for wanted in self.unanswered.values())

    # What it does

    def act(self, _: Any) -> Any:
        world = self.world
        if world.is_calm:
            return False
        world.after(int(world.random() * world.think_ns), self.act, None)
        if not self.is_logged_on:
            return True
        draw = world.random()
        if draw < 0.66:
            self.order()
        elif draw < 0.94:
            self.cancel()
        elif draw < 0.97:
            self.repeat()
        elif draw < 0.975:
            self.hang_up()
        return True

    def order(self) -> None:
        """A new order, unlike any before in what it asks for."""
        world, random = self.world, self.world.random
        account = self.accounts[int(random() * len(self.accounts))]
        instrument = int(random() * len(SYMBOLS))
        side = BUY if random() < 0.6 else SELL
        number = world.next_number(account, instrument, side)
        self.count += 1
        if random() < 0.05:
            wanted = Wanted(self, account, instrument, side, MARKET, 100 * (number + 1), 0)
        else:
            distance = (number // LOTS % TICKS - (3 if random() < 0.05 else 0)) * TICK_E4
            price = CLOSE_E4 - distance if side == BUY else CLOSE_E4 + TICK_E4 + distance
            qty = 100 * (1 + number % LOTS + LOTS * (number // LOTS // TICKS))
            wanted = Wanted(self, account, instrument, side, LIMIT, qty, price)
        if wanted.asked in world.wanted_by:
            return
        world.wanted_by[wanted.asked] = wanted
        world.wanted[account, wanted.cl_ord_id] = wanted
        self.unanswered[wanted.cl_ord_id] = wanted
        self.live.append(wanted)
        self.stream.send(CALLER, wanted.octets)

    def pick(self) -> Wanted | None:
        """One of the last few orders, forgetting those that are over."""
        live = self.live
        while live:
            at = int(self.world.random() * len(live))
            if not live[at].closed:
                return live[at]
            live[at] = live[-1]
            live.pop()
        return None

    def cancel(self) -> None:
        wanted = self.pick()
        if wanted is not None:
            self.count += 1
            self.stream.send(
                CALLER,
                edge.cancel_order(b"x%d-%d" % (self.port, self.count), ACCOUNT_NAMES[wanted.account], wanted.cl_ord_id),
            )

    def repeat(self) -> None:
        """The same order again, though it may have been answered: it must not become a second one."""
        wanted = self.pick()
        if wanted is not None:
            self.stream.send(CALLER, wanted.octets)

    # What it hears

    def on_message(self, stream: Stream, message: tuple | None) -> Any:
        if stream is not self.stream:
            return False
        if message is None:
            stream.cut()
            return True
        octets, told = message
        if len(told) > 1:
            self.on_report(octets, told)
        elif told[0] == 1:
            self.is_logged_on = True
            for wanted in self.unanswered.values():
                stream.send(CALLER, wanted.octets)
        elif told[0] == 4:
            refused = pb.ServerMessage.FromString(octets).session_reject
            if refused.reject_code != "R1614":
                self.world.fail(f"client {self.port}: refused: {refused.text}")
        return True

    def on_report(self, octets: bytes, told: tuple) -> None:
        account = INDEX_OF[told[2]]
        if told[1]:
            if told[1] != self.cursors[account] + 1:
                self.world.fail(
                    f"client {self.port}: account {account}: event {told[1]} after event {self.cursors[account]}"
                )
            self.cursors[account] = told[1]
            self.world.checks.on_told(account, told[1], octets)
        if told[0] != 2:
            return
        wanted = self.world.wanted.get((account, told[3]))
        if wanted is None:
            self.world.fail(f"client {self.port}: a report of {told[3]!r}, which nobody sent")
        wanted.answered = True
        if told[1] == 0 and not told[12]:
            return  # refused for now; an earlier copy may still live
        self.world.checks.on_answer(wanted, told)
        wanted.order_no = told[4]
        if wanted.port == self.port:
            self.unanswered.pop(told[3], None)
        if told[6] >= FILLED:
            wanted.closed = True
