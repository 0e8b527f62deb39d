"""Orders and cancels into an engine by name, and what came of each: for rule tests and scenarios. It decides nothing."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

from ext.audience cimport Caller
from ext.buffers cimport Turn
from ext.codec cimport CancelOrder, NewOrder, Text
from ext.engine cimport Engine
from ext.events cimport ORDER_SUSPENDED, OrderEvent
from ext.state cimport FLAG_CANCEL_QUEUED, FLAG_CANCEL_SENT, GROUP_OWNER, NONE, Account, Position


cdef class Client(Caller):
    """Who asks: unary calls of the first token. What it is answered is thrown away."""

    def __init__(self):
        Caller.__init__(self, Turn(lambda run: None))
        self.port = 0


cdef inline Text text_of(bytes octets):
    return Text(<const uint8_t *>octets, len(octets))


def order(Engine engine, Client client, bytes cl_ord_id, bytes account, bytes symbol, int venue, int side, int ord_type,
          int64_t order_qty_shares, int64_t price_e4, int64_t now_ns) -> tuple:
    """(order number, code, rule, suspended, value, limit); number and code 0: refused before it became an order."""
    cdef NewOrder message
    cdef const OrderEvent *decision
    cdef uint32_t before = engine.state.order_count
    memset(&message, 0, sizeof(NewOrder))
    message.cl_ord_id = text_of(cl_ord_id)
    message.account = text_of(account)
    message.symbol = text_of(symbol)
    message.security_exchange = venue
    message.side = side
    message.ord_type = ord_type
    message.order_qty_shares = order_qty_shares
    message.price_e4 = price_e4
    engine.on_new_order(client, &message, now_ns)
    client.out.consume(client.out.size())
    if engine.state.order_count == before:
        return 0, 0, 0, False, 0, 0
    decision = <const OrderEvent *>engine.journal.at(engine.state.orders[before + 1].frame_offset)
    return (before + 1, decision.code, decision.rule, bool(decision.flags & ORDER_SUSPENDED), decision.value, decision.limit)


def cancel(Engine engine, Client client, bytes account, uint32_t order_no, int64_t now_ns) -> bool:
    """A client's cancel of its order; whether it is on its way, or waits for its phase."""
    cdef CancelOrder message
    cdef bytes name = b"cancel"
    memset(&message, 0, sizeof(CancelOrder))
    message.cl_ord_id = text_of(name)
    message.account = text_of(account)
    message.order_id = order_no
    engine.on_cancel(client, &message, now_ns)
    client.out.consume(client.out.size())
    return bool(engine.state.orders[order_no].flags & (FLAG_CANCEL_SENT | FLAG_CANCEL_QUEUED))


cdef inline int in_force(int level, int64_t until_ns, int64_t now_ns):
    return level if until_ns == 0 or now_ns < until_ns else 0


def level(Engine engine, uint32_t account, int venue, uint32_t symbol, int64_t now_ns) -> int:
    """The hardest level that binds the account: its own, its group's, and those of either in the instrument (venue 0: none)."""
    cdef const Account *row = &engine.state.accounts[account]
    cdef uint32_t instrument = engine.state.find_instrument(venue, symbol) if venue else NONE
    cdef const Position *position
    cdef int found = in_force(row.level, row.level_until_ns, now_ns)
    owners = [account]
    if row.group != NONE:
        found = max(found, in_force(engine.state.groups[row.group].level, engine.state.groups[row.group].level_until_ns, now_ns))
        owners.append(GROUP_OWNER | row.group)
    for owner in owners if instrument != NONE else []:
        position = engine.state.find_position(owner, instrument)
        if position != NULL:
            found = max(found, in_force(position.level, position.level_until_ns, now_ns))
    return found
