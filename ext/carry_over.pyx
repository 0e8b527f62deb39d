"""What one day leaves to the next: kills, strategies that are off, levels from L4 on that only a person ends, reviews. Decides nothing.

Everything goes by name: the next day's tables may have other indexes.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from ext.engine cimport Engine
from ext.events cimport (
    EV_ADMIN, KILL_ACCOUNT, KILL_FIRM, KILL_GROUP, KILL_PORT, LEVEL_RESTRICT, STEP_CARRIED, SUBJECT_ACCOUNT,
    SUBJECT_FIRM, SUBJECT_GROUP, SUBJECT_POSITION, AdminEvent,
)
from ext.journal cimport Journal
from ext.state cimport GROUP_OWNER, NONE, State
from ext.sweeps cimport copy_name

from ext.replay import frame_fields
from ext.response import open_ticket, set_level
from ext.sweeps import kill, switch_strategy

KEPT = ("level", "mask", "throttle_per_s", "ticket", "by", "approved_by", "reason", "rule", "rule_set")


def carry_over(State state, Journal journal) -> list:
    """What the folded state of an ended day leaves, as dicts for `restore`: levels first, then kills, then open reviews."""
    cdef uint32_t at
    left = []
    if state.firm_level_offset:
        left.append(level_left(state, journal, SUBJECT_FIRM, NONE, NONE, state.firm_level_offset))
    for at in range(state.group_count):
        if state.groups[at].level:
            left.append(level_left(state, journal, SUBJECT_GROUP, GROUP_OWNER | at, NONE, state.groups[at].level_offset))
    for at in range(state.account_count):
        if state.accounts[at].level:
            left.append(level_left(state, journal, SUBJECT_ACCOUNT, at, NONE, state.accounts[at].level_offset))
    for at in range(state.position_count):
        if state.positions[at].level:
            left.append(level_left(state, journal, SUBJECT_POSITION, state.positions[at].owner, state.positions[at].instrument,
                                   state.positions[at].level_offset))
    left = [entry for entry in left if entry["level"] >= LEVEL_RESTRICT and entry["until_ns"] == 0]
    opened = {entry["ticket"] for entry in left}
    return left + strategies_left(state) + kills_left(state) + tickets_left(state, journal, opened)


cdef dict level_left(State state, Journal journal, int subject, uint32_t owner, uint32_t instrument, offset):
    fields = frame_fields(journal, offset)
    cause = f"rule {fields['rule']} of set {fields['rule_set']}" if fields["rule"] else ""
    entry = {"kind": "level", "subject": subject, **names_of(state, owner, instrument), "until_ns": fields["until_ns"],
             "date": state.trade_date}
    return entry | {key: fields[key] for key in KEPT} | {"reason": ": ".join(part for part in (cause, fields["reason"]) if part)}


cdef dict names_of(State state, uint32_t owner, uint32_t instrument):
    names = {"owner": b"", "is_group": owner != NONE and bool(owner & GROUP_OWNER), "place": None}
    if names["is_group"]:
        names["owner"] = state.groups[owner & ~<uint32_t>GROUP_OWNER].id[:16].rstrip(b"\0")
    elif owner != NONE:
        names["owner"] = state.accounts[owner].id[:state.accounts[owner].id_size]
    if instrument != NONE:
        names["place"] = state.instruments[instrument].venue, state.instruments[instrument].symbol
    return names


cdef list strategies_left(State state):
    """Strategies that are off: only a person switches one on again."""
    cdef uint32_t at
    return [{"kind": "strategy", "owner": state.strategies[at].limits.id[:state.strategies[at].limits.id_size], "is_group": False,
             "off": state.strategies[at].off} for at in range(state.strategy_count) if state.strategies[at].off]


cdef list kills_left(State state):
    cdef uint32_t at
    left = [{"kind": "kill", "scope": KILL_FIRM, "owner": b"", "is_group": False}] if state.firm_killed else []
    left += [{"kind": "kill", "scope": KILL_GROUP, **names_of(state, GROUP_OWNER | at, NONE)}
             for at in range(state.group_count) if state.groups[at].killed]
    left += [{"kind": "kill", "scope": KILL_ACCOUNT, **names_of(state, at, NONE)}
             for at in range(state.account_count) if state.accounts[at].killed]
    left += [{"kind": "kill", "scope": KILL_PORT, "owner": (<const char *>state.ports[at].token_hash)[:32], "is_group": False}
             for at in range(state.port_count) if state.ports[at].killed]
    return left


cdef list tickets_left(State state, Journal journal, set with_levels):
    """Open reviews; one that a freeze opened comes with it."""
    cdef uint32_t at, owner, instrument, index
    left = []
    for at in range(1, state.ticket_count + 1):
        if not state.tickets[at].is_open or at in with_levels:
            continue
        index = state.tickets[at].index
        owner, instrument = index, NONE
        if state.tickets[at].subject == SUBJECT_POSITION:
            owner, instrument = state.positions[index].owner, state.positions[index].instrument
        elif state.tickets[at].subject == SUBJECT_GROUP:
            owner = GROUP_OWNER | index
        elif state.tickets[at].subject == SUBJECT_FIRM:
            owner = NONE
        fields = frame_fields(journal, state.tickets[at].offset)
        left.append({"kind": "ticket", "subject": state.tickets[at].subject, **names_of(state, owner, instrument),
                     "by": fields["by"], "reason": fields["reason"], "date": state.trade_date})
    return left


def restore(Engine engine, list left, str source, int64_t now_ns) -> dict:
    """Put what another day left into force, and journal that it was: {levels, kills, strategies, tickets, lost}. source:
    where it came from. lost: names that are not there any more, for the log."""
    counts = {"levels": 0, "kills": 0, "strategies": 0, "tickets": 0, "lost": []}
    for entry in left:
        owner = find_owner(engine, entry)
        instrument = find_place(engine, entry)
        if owner is None or (instrument == NONE and entry.get("place")):
            counts["lost"].append(f"{entry['kind']} of {entry['owner'].decode(errors='replace')}")
            continue
        counts["strategies" if entry["kind"] == "strategy" else entry["kind"] + "s"] += 1
        if entry["kind"] == "strategy":
            switch_strategy(engine, owner, entry["off"], "carried over", now_ns)
        elif entry["kind"] == "level":
            restore_level(engine, entry, owner, instrument, now_ns)
        elif entry["kind"] == "ticket":
            restore_ticket(engine, entry, owner, instrument, now_ns)
        elif not is_killed(engine, entry["scope"], owner):
            kill(engine, entry["scope"], owner & ~<uint32_t>GROUP_OWNER, True, "carried over", now_ns)
    mark_carried(engine, source, now_ns)
    return counts


cdef find_owner(Engine engine, dict entry):
    """Index of the owner in today's tables (a group's with GROUP_OWNER), 0 for the firm; None when it is gone."""
    cdef uint32_t at
    cdef bytes name = entry["owner"]
    if not name:
        return 0
    if entry.get("scope") == KILL_PORT:
        return next((at for at in range(engine.state.port_count)
                     if (<const char *>engine.state.ports[at].token_hash)[:32] == name), None)
    if entry["kind"] == "strategy":
        at = engine.state.find_strategy(<const uint8_t *>name, len(name))
        return None if at == NONE else at
    if entry["is_group"]:
        return next((GROUP_OWNER | at for at in range(engine.state.group_count)
                     if engine.state.groups[at].id[:16].rstrip(b"\0") == name), None)
    at = engine.state.find_account(<const uint8_t *>name, len(name))
    return None if at == NONE else at


cdef uint32_t find_place(Engine engine, dict entry):
    if not entry.get("place"):
        return NONE
    return engine.state.find_instrument(entry["place"][0], entry["place"][1])


cdef bint is_killed(Engine engine, int scope, uint32_t owner):
    if scope == KILL_FIRM:
        return engine.state.firm_killed
    if scope == KILL_GROUP:
        return engine.state.groups[owner & ~<uint32_t>GROUP_OWNER].killed
    return engine.state.accounts[owner].killed if scope == KILL_ACCOUNT else engine.state.ports[owner].killed


cdef str since(dict entry):
    reason = entry["reason"]
    return reason if reason.startswith("since ") else f"since {entry['date']}: {reason}"


cdef restore_level(Engine engine, dict entry, owner, uint32_t instrument, int64_t now_ns):
    """The level with its old reason. A freeze opens its review anew."""
    index = owner if entry["subject"] == SUBJECT_POSITION else owner & ~<uint32_t>GROUP_OWNER
    set_level(engine, entry["subject"], index, entry["level"], instrument=instrument, mask=entry["mask"],
              throttle_per_s=entry["throttle_per_s"], by=entry["by"] or "rule", approved_by=entry["approved_by"],
              reason=since(entry), now_ns=now_ns)


cdef restore_ticket(Engine engine, dict entry, owner, uint32_t instrument, int64_t now_ns):
    index = owner & ~<uint32_t>GROUP_OWNER
    if entry["subject"] == SUBJECT_POSITION:
        if engine.state.find_position(owner, instrument) == NULL:
            return
        index = engine.state.find_position(owner, instrument) - engine.state.positions
    open_ticket(engine, entry["subject"], index, by=entry["by"], reason=since(entry), now_ns=now_ns)


cdef mark_carried(Engine engine, str source, int64_t now_ns):
    cdef AdminEvent *event = <AdminEvent *>engine.reserve(EV_ADMIN, sizeof(AdminEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("carry over: the journal is full")
    event.step = STEP_CARRIED
    copy_name(event.by, "tidegate", sizeof(event.by))
    copy_name(event.reason, source, sizeof(event.reason))
    engine.record(&event.head)
