"""What the rules recorded, frame by frame, and where the engine keeps their rows: for the comparison with the model."""

from libc.stdint cimport uint32_t, uint64_t

from ext.events cimport (
    EV_HIT, EV_LEVEL, EV_MARK, EV_ORDER, EV_QUOTE, Frame, HitEvent, LevelEvent, MarkEvent, OrderEvent, QuoteEvent,
)
from ext.journal cimport Journal
from ext.state cimport GROUP_OWNER, NONE, Position, State
from ext.tables cimport hash_bytes


def frames_after(Journal journal, uint64_t offset) -> list:
    """What the rules recorded in the frames from offset on: ("ORDER" | "HIT" | "MARK" | "LEVEL" | "QUOTE", fields)."""
    cdef const Frame *frame
    found = []
    while offset < journal.end:
        frame = journal.at(offset)
        if frame.type == EV_ORDER:
            found.append(("ORDER", order_fields(<const OrderEvent *>frame)))
        elif frame.type == EV_HIT:
            found.append(("HIT", hit_fields(<const HitEvent *>frame)))
        elif frame.type == EV_MARK:
            found.append(("MARK", mark_fields(<const MarkEvent *>frame)))
        elif frame.type == EV_LEVEL:
            found.append(("LEVEL", {"level": (<const LevelEvent *>frame).level, "rule": (<const LevelEvent *>frame).rule}))
        elif frame.type == EV_QUOTE:
            found.append(("QUOTE", quote_fields(<const QuoteEvent *>frame)))
        offset += frame.size
    return found


cdef dict order_fields(const OrderEvent *event):
    return {"code": event.code, "rule": event.rule, "rule_set": event.rule_set, "value": event.value, "limit": event.limit,
            "flags": event.flags, "wpx_e4": event.wpx_e4}


cdef dict hit_fields(const HitEvent *event):
    cdef int at
    return {
        "rule": event.rule, "rule_set": event.rule_set, "row": event.row, "instrument": event.instrument, "stage": event.stage,
        "level": event.level, "enforced": event.enforced, "side": event.side, "blocked": event.blocked, "event": event.event,
        "alert_seq": event.alert_seq,
        "factors": tuple([(event.factors[at].value, event.factors[at].limit) for at in range(event.factor_count)]),
    }


cdef dict mark_fields(const MarkEvent *event):
    return {"mark": event.mark, "row": event.row, "instrument": event.instrument, "side": event.side, "ends": event.ends,
            "rule_set": event.rule_set}


cdef dict quote_fields(const QuoteEvent *event):
    return {"instrument": event.instrument, "last_px_e4": event.last_px_e4, "total_volume_shares": event.total_volume_shares,
            "bids": tuple([(event.bid_px_e4[at], event.bid_qty_shares[at]) for at in range(5)]),
            "asks": tuple([(event.ask_px_e4[at], event.ask_qty_shares[at]) for at in range(5)])}


def position_row(State state, owner: int, uint32_t instrument) -> int:
    """Index of the record of an account, or of a group (-1 - its index), in an instrument; NONE when there is none."""
    cdef uint32_t number = <uint32_t>owner if owner >= 0 else GROUP_OWNER | <uint32_t>(-1 - owner)
    cdef Position *position = state.find_position(number, instrument)
    return NONE if position == NULL else <uint32_t>(position - state.positions)


def account_hash(bytes name, uint64_t seed) -> int:
    """What a rule set knows an account by."""
    return hash_bytes(<const unsigned char *>name, len(name), seed)
