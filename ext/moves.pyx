"""An account from one shard to another: its day as a parcel, journaled there as one event. Decides nothing, and sends nothing.

A parcel is the account's own frames, so the target's state comes to be by the very functions that made the source's.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ext.codes cimport STATUS_FILLED
from ext.engine cimport Engine
from ext.events cimport (
    EV_ACCOUNT_CAME, EV_ACCOUNT_LEFT, EV_CANCELED, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED, EV_CANCEL_SENT, EV_EXPIRED,
    EV_NEW, EV_ORDER, EV_ORDER_RELEASED, EV_TRADE, EV_VENUE_REJECTED, CameEvent, CancelEvent, Frame, LeftEvent, OrderEvent,
    ReleaseEvent, ReportEvent,
)
from ext.state cimport NONE, Account, Order
from ext.sweeps cimport copy_name

MOST_PARCEL = 1 << 25                  # bytes of frames: some 100,000 events


def obstacle(Engine engine, uint32_t account) -> str:
    """Why the account cannot move at all now; empty when it can. What a person set on it must be taken off first."""
    cdef const Account *row = &engine.state.accounts[account]
    if engine.state.account_days[account].left:
        return f"it has left for shard {engine.state.account_days[account].left - 1}"
    if row.killed:
        return "it is killed"
    if row.leveled:
        return "it has, or had today, a response level"
    if row.unit:
        return "it belongs to a trading unit"
    return ""


def is_quiet(Engine engine, uint32_t account) -> bool:
    """No order of it is open or suspended, and no cancel awaits the exchange's word."""
    cdef uint32_t order_no = engine.state.accounts[account].last_order
    cdef const Order *order
    cdef const Frame *frame
    if engine.state.accounts[account].open_orders:
        return False
    if any(engine.state.orders[<uint32_t>number].account == account for number in engine.suspended):
        return False
    refused = {(<const CancelEvent *>frame_at(engine, offset)).cancel_no for offset in events_of(engine, account)
               if frame_at(engine, offset).type == EV_CANCEL_REJECTED}
    while order_no != NONE:
        order = &engine.state.orders[order_no]
        if order.cancel_offset and order.ord_status == STATUS_FILLED:
            frame = engine.journal.at(order.cancel_offset)
            if frame.type == EV_CANCEL_SENT and (<const CancelEvent *>frame).cancel_no not in refused:
                return False
        order_no = order.previous_of_account
    return True


cdef inline const Frame *frame_at(Engine engine, uint64_t offset):
    return engine.journal.at(offset)


cdef list events_of(Engine engine, uint32_t account):
    """Offsets of the account's events, newest first."""
    cdef uint64_t offset = engine.state.accounts[account].last_offset
    offsets = []
    while offset:
        offsets.append(offset)
        offset = engine.journal.at(offset).prev_offset
    return offsets


def parcel(Engine engine, uint32_t account) -> dict:
    """The account's day: {source, frames, ports (index: SHA-256 in hex), strategies (index: id), left: what it has now}. Every
    order of it is over. ValueError: it did too much today to be one frame."""
    cdef uint32_t order_no = engine.state.accounts[account].last_order
    cdef const Order *order
    offsets = events_of(engine, account)
    while order_no != NONE:
        order = &engine.state.orders[order_no]
        # Cancels on their way are no events, but they count in the day's messages.
        if order.cancel_offset and engine.journal.at(order.cancel_offset).type == EV_CANCEL_SENT:
            offsets.append(order.cancel_offset)
        order_no = order.previous_of_account
    frames = [engine.journal.frame_bytes(offset) for offset in sorted(offsets)]
    if sum(map(len, frames)) > MOST_PARCEL:
        raise ValueError(f"{len(frames)} frames, expected at most {MOST_PARCEL} bytes of them")
    return {
        "source": engine.state.shard, "frames": frames, "holds": holds(engine, account),
        "ports": {port: (<const char *>engine.state.ports[port].token_hash)[:32].hex() for port in range(engine.state.port_count)},
        "strategies": {at: engine.state.strategies[at].limits.id[:engine.state.strategies[at].limits.id_size].decode()
                       for at in range(engine.state.strategy_count)},
    }


def holds(Engine engine, uint32_t account) -> dict:
    """What must be the same before and after: cash, event sequence, messages sent, notional, and every position that is one."""
    cdef const Account *row = &engine.state.accounts[account]
    cdef uint32_t next = engine.state.account_days[account].first_position
    positions = {}
    while next:
        position = &engine.state.positions[next - 1]
        next = position.next_of_owner
        instrument = &engine.state.instruments[position.instrument]
        positions[f"{instrument.venue}:{instrument.symbol:06d}"] = [
            position.total_shares, position.sellable_shares, position.bought_today_shares,
            engine.state.holdings[position - engine.state.positions].located_shares,
        ]
    return {
        "cash_e4": row.cash_e4, "cash_held_e4": row.cash_held_e4, "event_seq": row.event_seq,
        "sent_today": [row.sent_today[0], row.sent_today[1]],
        "filled_e4": [row.usage.filled_buy_e4, row.usage.filled_sell_e4],
        "open_e4": [row.usage.open_buy_e4, row.usage.open_sell_e4],
        "positions": {name: kept for name, kept in sorted(positions.items()) if any(kept)},
    }


def leave(Engine engine, uint32_t account, uint32_t target, str by, int64_t now_ns) -> None:
    """The account lives at another shard from now on. OSError: the journal is full."""
    cdef LeftEvent *event = <LeftEvent *>engine.reserve(EV_ACCOUNT_LEFT, sizeof(LeftEvent), account, False, now_ns)
    if event == NULL:
        raise OSError("the journal is full")
    event.target = target
    copy_name(event.by, by, sizeof(event.by))
    engine.record(&event.head)


def has_left(Engine engine, uint32_t account) -> bool:
    """Whether it left this shard today."""
    return engine.state.account_days[account].left != 0


def come(Engine engine, uint32_t account, dict brought, str by, int64_t now_ns) -> None:
    """The account's day elsewhere, onto its row as the files made it, without any event. ValueError: the row is used, or an
    order names what this shard does not know; OSError: no room."""
    cdef CameEvent *event
    cdef size_t size = sizeof(CameEvent) + sum(map(len, brought["frames"]))
    cdef uint32_t orders = sum(1 for frame in brought["frames"] if type_of(frame) == EV_ORDER)
    if engine.state.accounts[account].event_seq or engine.state.account_days[account].left:
        raise ValueError("it has been here today")
    ports = {old: port_of(engine, bytes.fromhex(digest)) for old, digest in brought["ports"].items()}
    strategies = {old: strategy_of(engine, name.encode()) for old, name in brought["strategies"].items()}
    frames = [bytearray(frame) for frame in brought["frames"]]
    check(engine, frames, ports, strategies)
    if (engine.state.order_count + orders > engine.state.most_orders
            or engine.state.position_count + 3 * orders > engine.state.most_positions):
        raise OSError(f"no room for {orders} orders")
    event = <CameEvent *>engine.reserve(EV_ACCOUNT_CAME, size, account, False, now_ns)
    if event == NULL:
        raise OSError("the journal is full")
    event.source = brought["source"]
    event.orders = orders
    event.frames = <uint32_t>len(frames)
    copy_name(event.by, by, sizeof(event.by))
    place(engine, event, frames, account, ports, strategies)
    engine.record(&event.head)


cdef int type_of(bytes frame):
    return (<const Frame *><const char *>frame).type


cdef port_of(Engine engine, bytes token_hash):
    for port in range(engine.state.port_count):
        if (<const char *>engine.state.ports[port].token_hash)[:32] == token_hash:
            return port
    return None


cdef strategy_of(Engine engine, bytes name):
    cdef uint32_t index = engine.state.find_strategy(<const uint8_t *>name, len(name))
    return None if index == NONE else index


cdef check(Engine engine, list frames, dict ports, dict strategies):
    """Everything that the orders name is known here."""
    cdef const OrderEvent *order
    known = (EV_ORDER, EV_NEW, EV_TRADE, EV_CANCELED, EV_EXPIRED, EV_VENUE_REJECTED, EV_CANCEL_SENT, EV_CANCEL_QUEUED,
             EV_CANCEL_REJECTED, EV_ORDER_RELEASED)
    for octets in frames:
        order = <const OrderEvent *><const char *>octets
        if order.head.type not in known or order.head.size != len(octets):
            raise ValueError(f"a frame of type {order.head.type} with {len(octets)} bytes")
        if order.head.type != EV_ORDER:
            continue
        if ports.get(order.port) is None or (order.strategy != NONE and strategies.get(order.strategy) is None):
            raise ValueError(f"an order of token {order.port} and strategy {order.strategy}, expected ones of this shard")
        if order.instrument != NONE and engine.state.find_instrument(order.venue, order.symbol) == NONE:
            raise ValueError(f"an order in {order.symbol:06d}, expected an instrument of this shard")


cdef place(Engine engine, CameEvent *event, list frames, uint32_t account, dict ports, dict strategies):
    """The frames behind the event's head, each as one of this journal."""
    cdef uint64_t offset = engine.journal.end + sizeof(CameEvent)
    cdef uint64_t previous = 0
    cdef uint32_t next_order = engine.state.order_count
    cdef Frame *frame
    numbers = {}
    for octets in frames:
        frame = <Frame *>(<char *>event + (offset - engine.journal.end))
        memcpy(frame, <const char *>octets, len(octets))
        if frame.type == EV_ORDER:
            next_order += 1
            numbers[frame.order_no] = next_order
        frame.order_no = numbers[frame.order_no]
        frame.account = account
        frame.prev_offset = previous if frame.event_seq else 0
        previous = offset if frame.event_seq else previous
        settle(engine, frame, ports, strategies)
        offset += frame.size


cdef settle(Engine engine, Frame *frame, dict ports, dict strategies):
    """What a frame says in numbers of its shard, in numbers of this one; the exchange's numbering is not ours to go on with."""
    cdef OrderEvent *order
    if frame.type == EV_ORDER:
        order = <OrderEvent *>frame
        order.port = ports[order.port]
        order.rule = order.rule_set = 0
        if order.strategy != NONE:
            order.strategy = strategies[order.strategy]
        if order.instrument != NONE:
            order.instrument = engine.state.find_instrument(order.venue, order.symbol)
    elif frame.type == EV_ORDER_RELEASED:
        (<ReleaseEvent *>frame).rule = (<ReleaseEvent *>frame).rule_set = 0
    elif frame.type in (EV_CANCEL_SENT, EV_CANCEL_QUEUED, EV_CANCEL_REJECTED):
        (<CancelEvent *>frame).report_index = 0
        (<CancelEvent *>frame).partition = 0
        # The counter behind cancels' names at the exchange stays where it is.
        (<CancelEvent *>frame).cancel_no = engine.state.cancel_no
    else:
        (<ReportEvent *>frame).report_index = 0
        (<ReportEvent *>frame).partition = 0
