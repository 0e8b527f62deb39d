"""The response ladder L0 to L7 (rule catalogue, section 4.1): levels set, released and run out, reviews, notices.

Every step is an event; a level's consequences go through the existing sweeps. set_level only ever tightens; what loosens is
release_level, and from L6 on that takes two persons. Cancels are no business of a level: nothing here stops one.
"""

import heapq

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ext.audience cimport Caller, Watch
from ext.codes cimport STATUS_SUSPENDED
from ext.engine cimport Engine
from ext.events cimport (
    EV_LEVEL, EV_TICKET, LEVEL_CANCEL_ONLY, LEVEL_CONFIRM, LEVEL_FIRM_KILL, LEVEL_FREEZE, LEVEL_OBSERVE, LEVEL_RESTRICT,
    LEVEL_THROTTLE, LEVEL_WARN, SUBJECT_ACCOUNT, SUBJECT_FIRM, SUBJECT_GROUP, SUBJECT_POSITION, LevelEvent, OrderEvent,
    TicketEvent,
)
from ext.journal cimport Journal
from ext.reports cimport confirm_by_ns
from ext.state cimport GROUP_OWNER, MOST_TICKETS, NONE, Order, Position, State
from ext.sweeps cimport cancel_all, copy_name, live_orders
from ext.waiting cimport NEVER_NS

from ext.reports import risk_notice
from ext.sweeps import check_two_persons, kill

LEVEL_NAMES = {0: "OBSERVE", 1: "WARN", 2: "CONFIRM", 3: "THROTTLE", 4: "RESTRICT", 5: "CANCEL_ONLY", 6: "FREEZE", 7: "FIRM_KILL"}
MASK_BITS = {"NO_BUY": 1, "NO_SELL": 2, "NO_MARKET": 4, "NO_AUCTION": 8, "NO_PROGRAMME": 16, "NO_MAIN": 256, "NO_STAR": 512,
             "NO_CHINEXT": 1024}
ALL_MASKS = sum(MASK_BITS.values())
SUBJECT_NAMES = {1: "ACCOUNT", 2: "GROUP", 3: "FIRM", 4: "POSITION"}
MOST_THROTTLE = 65535                      # orders a second
KILL_SCOPES = {1: 2, 2: 3, 3: 4}           # Subject -> KillScope; an owner in one instrument has no kill latch

cdef enum:
    ONE_STEP = 4096                        # journal bytes that one thing which is due never passes


cdef struct Standing:                      # a subject's level as the state has it
    int64_t until_ns
    uint64_t offset
    uint32_t owner                         # of a position, else the index again
    uint32_t instrument
    uint32_t throttle_per_s
    uint16_t mask
    uint8_t level


# Setting

def set_level(Engine engine, int subject, uint32_t index, int level, *, int64_t now_ns, uint32_t instrument=NONE, int mask=0,
              uint32_t throttle_per_s=0, int64_t until_ns=0, uint32_t rule=0, uint32_t rule_set=0, uint64_t hit_offset=0,
              str by="", str approved_by="", str reason="", str rule_text="") -> int:
    """Raise a subject's level, and do what goes with it; offset of the EV_LEVEL, 0 when the subject stands as hard already.

    subject: events.Subject; index: of the account or group, 0 for the firm, of a position its record, or with `instrument`
    its owner (account, or GROUP_OWNER | group). mask: RestrictMask, of L4. until_ns: when it steps down by itself, 0: when a
    person releases it; always 0 from L5 on. by: the person; empty for a rule, which then names itself (rule, rule_set).
    What is in force is joined, never loosened: masks together, the lower throttle, the later end (a warning's want of one aside). Raises ValueError for bad
    arguments and for a person's lower level, OSError when the journal is full.
    """
    cdef Standing standing
    cdef int in_force
    check_level(subject, level, mask, throttle_per_s, until_ns, now_ns, bool(by) or rule != 0)
    standing = standing_of(engine, subject, index, instrument)
    in_force = standing.level if standing.until_ns == 0 or now_ns < standing.until_ns else 0
    if level < in_force and by:
        raise ValueError(f"level: got {level}, but {describe(engine, subject, standing)} stands at {in_force}; release it")
    if level < in_force:
        return 0
    if in_force:
        mask |= standing.mask
        throttle_per_s = min(throttle_per_s or standing.throttle_per_s, standing.throttle_per_s or throttle_per_s)
        until_ns = later_end_ns(level, until_ns, in_force, standing.until_ns)
    if level == in_force and (mask, throttle_per_s, until_ns) == (standing.mask, standing.throttle_per_s, standing.until_ns):
        return 0
    ticket = next_ticket(engine) if level >= LEVEL_FREEZE and in_force < LEVEL_FREEZE else 0
    terms = {"mask": mask, "throttle_per_s": throttle_per_s, "until_ns": until_ns, "rule": rule, "rule_set": rule_set,
             "hit_offset": hit_offset, "ticket": ticket, "by": by, "approved_by": approved_by, "reason": reason}
    offset = write_level(engine, subject, standing, level, terms, now_ns)
    enforce(engine, subject, standing, level, by or f"rule:{rule}", now_ns)
    if ticket:
        write_ticket(engine, ticket, subject, index_of(engine, subject, standing), True, by or f"rule:{rule}", reason, now_ns)
    notify_subject(engine, subject, standing, level, rule_text, level_text(level, mask, reason), now_ns)
    return offset


cdef int64_t later_end_ns(int level, int64_t until_ns, int in_force, int64_t in_force_until_ns) noexcept:
    """The end of both together; 0: a person's release. A warning binds nothing, so its want of an end keeps no level in force."""
    if level >= LEVEL_CANCEL_ONLY or until_ns == 0:
        return 0
    if in_force_until_ns == 0:
        return until_ns if in_force == LEVEL_WARN < level else 0
    return max(until_ns, in_force_until_ns)


cdef check_level(int subject, int level, int mask, uint32_t throttle_per_s, int64_t until_ns, int64_t now_ns, bint has_author):
    if not LEVEL_WARN <= level <= LEVEL_FIRM_KILL:
        raise ValueError(f"level: got {level}, expected 1 to 7 (release_level goes down)")
    if (level == LEVEL_FIRM_KILL) != (subject == SUBJECT_FIRM):
        raise ValueError(f"level: got {level} for a subject {SUBJECT_NAMES.get(subject, subject)}; expected 7 for the firm, and only there")
    if mask & ~ALL_MASKS or (level == LEVEL_RESTRICT and mask == 0):
        raise ValueError(f"mask: got {mask}, expected bits of RestrictMask" + (", at least one at level 4" if mask == 0 else ""))
    if throttle_per_s > MOST_THROTTLE or (level == LEVEL_THROTTLE and throttle_per_s == 0):
        raise ValueError(f"throttle_per_s: got {throttle_per_s}, expected at most {MOST_THROTTLE}, and at level 3 at least 1")
    if until_ns and (level >= LEVEL_CANCEL_ONLY or until_ns <= now_ns):
        raise ValueError(f"until_ns: got {until_ns}, expected 0 from level 5 on, else a time after {now_ns}")
    if not has_author:
        raise ValueError("by: got nothing, expected the person, or a rule")


cdef Standing standing_of(Engine engine, int subject, uint32_t index, uint32_t instrument) except *:
    """The subject and its level now; ValueError when there is no such subject. A position's record may still be to come."""
    cdef State state = engine.state
    cdef Standing found = Standing(0, 0, index, NONE, 0, 0, 0)
    cdef const Position *position
    if subject == SUBJECT_ACCOUNT and index < state.account_count:
        return Standing(state.accounts[index].level_until_ns, state.accounts[index].level_offset, index, NONE,
                        state.accounts[index].throttle_per_s, state.accounts[index].level_mask, state.accounts[index].level)
    if subject == SUBJECT_GROUP and index < state.group_count:
        return Standing(state.groups[index].level_until_ns, state.groups[index].level_offset, index, NONE,
                        state.groups[index].throttle_per_s, state.groups[index].level_mask, state.groups[index].level)
    if subject == SUBJECT_FIRM and index == 0:
        found.offset = state.firm_level_offset
        if found.offset:
            found.level = (<const LevelEvent *>engine.journal.at(found.offset)).level
        return found
    if subject == SUBJECT_POSITION and instrument == NONE and index < state.position_count:
        position = &state.positions[index]
    elif subject == SUBJECT_POSITION and instrument < state.instrument_count and is_owner(state, index):
        position = state.find_position(index, instrument)
        found.instrument = instrument
    else:
        raise ValueError(f"subject: no {SUBJECT_NAMES.get(subject, subject)} with index {index}")
    if position == NULL and state.position_count >= state.most_positions:
        raise ValueError(f"instrument: at most {state.most_positions} positions")
    if position == NULL:
        return found
    return Standing(position.level_until_ns, position.level_offset, position.owner, position.instrument,
                    position.throttle_per_s, position.level_mask, position.level)


cdef inline bint is_owner(State state, uint32_t owner) noexcept:
    if owner & GROUP_OWNER:
        return owner & ~<uint32_t>GROUP_OWNER < state.group_count
    return owner < state.account_count


cdef index_of(Engine engine, int subject, Standing standing):
    """Index of the subject's own record: of a position that which its event made."""
    if subject != SUBJECT_POSITION:
        return standing.owner
    return engine.state.find_position(standing.owner, standing.instrument) - engine.state.positions


cdef write_level(Engine engine, int subject, Standing standing, int level, dict terms, int64_t now_ns):
    """The event, journaled and applied, and its end expected; its offset. terms: the event's fields, absent ones 0 or empty."""
    cdef const Position *position = engine.state.find_position(standing.owner, standing.instrument) if subject == SUBJECT_POSITION else NULL
    cdef uint32_t account = standing.owner if subject in (SUBJECT_ACCOUNT, SUBJECT_POSITION) else NONE
    cdef LevelEvent *event = <LevelEvent *>engine.reserve(EV_LEVEL, sizeof(LevelEvent), account, False, now_ns)
    if event == NULL:
        raise OSError("level: the journal is full")
    event.subject = subject
    event.index = standing.owner
    if subject == SUBJECT_POSITION:
        event.index = engine.state.position_count if position == NULL else <uint32_t>(position - engine.state.positions)
    event.instrument = standing.instrument
    event.level = <uint8_t>level
    event.previous = standing.level
    event.mask = terms.get("mask", 0)
    event.throttle_per_s = terms.get("throttle_per_s", 0)
    event.until_ns = terms.get("until_ns", 0)
    event.rule, event.rule_set = terms.get("rule", 0), terms.get("rule_set", 0)
    event.hit_offset, event.ticket = terms.get("hit_offset", 0), terms.get("ticket", 0)
    copy_name(event.by, terms.get("by", ""), sizeof(event.by))
    copy_name(event.approved_by, terms.get("approved_by", ""), sizeof(event.approved_by))
    copy_name(event.reason, terms.get("reason", ""), sizeof(event.reason))
    if event.until_ns:
        engine.expect((event.until_ns, subject, event.index))
    return engine.record(&event.head)


cdef enforce(Engine engine, int subject, Standing standing, int level, str by, int64_t now_ns):
    """The consequences: from L5 on suspended orders go; L6 and L7 latch the kill, then cancel everything."""
    if level < LEVEL_CANCEL_ONLY:
        return
    if level >= LEVEL_FREEZE and subject in KILL_SCOPES:
        kill(engine, KILL_SCOPES[subject], standing.owner, True, by, now_ns)
        return
    chosen = [number for number in engine.suspended if is_of(engine, subject, standing, <uint32_t>number)]
    if level == LEVEL_FREEZE:
        for account in accounts_of(engine, SUBJECT_POSITION, standing):
            chosen += [number for number in live_orders(engine, account)
                       if engine.state.orders[<uint32_t>number].ord_status != STATUS_SUSPENDED
                       and is_of(engine, subject, standing, <uint32_t>number)]
    cancel_all(engine, chosen, NONE, now_ns)


cdef bint is_of(Engine engine, int subject, Standing standing, uint32_t order_no):
    """Whether an order is the subject's."""
    cdef const Order *order = &engine.state.orders[order_no]
    cdef uint32_t group = engine.state.accounts[order.account].group
    if subject == SUBJECT_FIRM:
        return True
    if subject == SUBJECT_GROUP:
        return group == standing.owner
    if subject == SUBJECT_ACCOUNT:
        return order.account == standing.owner
    if order.instrument != standing.instrument:
        return False
    return order.account == standing.owner or (group != NONE and (GROUP_OWNER | group) == standing.owner)


cdef list accounts_of(Engine engine, int subject, Standing standing):
    """Indexes of the accounts that a subject binds."""
    cdef uint32_t account
    cdef uint32_t group = standing.owner & ~<uint32_t>GROUP_OWNER
    if subject == SUBJECT_ACCOUNT or (subject == SUBJECT_POSITION and not standing.owner & GROUP_OWNER):
        return [standing.owner]
    return [account for account in range(engine.state.account_count)
            if subject == SUBJECT_FIRM or engine.state.accounts[account].group == group]


# Releasing

def release_level(Engine engine, int subject, uint32_t index, int level, *, int64_t now_ns, str by, str approved_by="",
                  str reason="", uint32_t instrument=NONE) -> int:
    """Take a subject one step down, or to 0 at once; offset of the EV_LEVEL. Releasing L6 or L7 also lifts the kill latch.

    level: 0, or step_below(the level it stands at). Raises ValueError for any other, without `by`, and at L6 and L7 unless
    two different persons are named; OSError when the journal is full.
    """
    cdef Standing standing = standing_of(engine, subject, index, instrument)
    if standing.level == LEVEL_OBSERVE:
        raise ValueError(f"level: {describe(engine, subject, standing)} stands at 0: nothing to release")
    if level not in (0, step_below(standing.level)):
        raise ValueError(f"level: got {level}, expected {step_below(standing.level)} (one step down from {standing.level}) or 0")
    if not by:
        raise ValueError("by: got nothing, expected the person who releases")
    if standing.level >= LEVEL_FREEZE:
        check_two_persons(f"release of level {standing.level}", by, approved_by)
    offset = step_to(engine, subject, standing, level, standing.until_ns, by, approved_by, reason, now_ns)
    if standing.level >= LEVEL_FREEZE and subject in KILL_SCOPES:
        kill(engine, KILL_SCOPES[subject], standing.owner, False, by, now_ns, approved_by=approved_by)
    return offset


def step_below(int level) -> int:
    """The level under this one. Confirmation is left out: it is asked per order, and nobody steps down into it; below the
    firm's kill is nothing."""
    if level == LEVEL_FIRM_KILL:
        return 0
    return LEVEL_WARN if level == LEVEL_THROTTLE else max(level - 1, 0)


cdef step_to(Engine engine, int subject, Standing standing, int level, until_ns, str by, str approved_by, str reason, int64_t now_ns):
    """One journaled step down; what the lower level needs of mask and throttle stays, and so does what caused it."""
    cdef const LevelEvent *event = <const LevelEvent *>engine.journal.at(standing.offset)
    terms = {"by": by, "approved_by": approved_by, "reason": reason}
    if level:
        terms |= {"until_ns": until_ns, "rule": event.rule, "rule_set": event.rule_set, "hit_offset": event.hit_offset}
    if level >= LEVEL_RESTRICT:
        terms["mask"] = standing.mask
    if level >= LEVEL_THROTTLE:
        terms["throttle_per_s"] = standing.throttle_per_s
    offset = write_level(engine, subject, standing, level, terms, now_ns)
    notify_subject(engine, subject, standing, level, "", level_text(level, standing.mask, reason), now_ns)
    return offset


# Time

def on_time(Engine engine, int64_t now_ns) -> int:
    """End the suspended orders whose time is over, and take levels that ran out one step down; how many. Any time may be given;
    when nothing is due it is one comparison. Quotes that waited long enough are recorded, and the rules look at them. A full
    journal leaves what is due for a later call."""
    cdef int count = 0
    engine.record_due(now_ns)
    engine.survey_left(now_ns)
    while now_ns >= engine.next_due_ns and engine.journal.has_room(ONE_STEP):
        due_ns, what, number = heapq.heappop(engine.deadlines)
        engine.next_due_ns = engine.deadlines[0][0] if engine.deadlines else NEVER_NS
        count += end_suspension(engine, number, now_ns) if what == 0 else run_out(engine, what, number, due_ns, now_ns)
    return count


cdef int end_suspension(Engine engine, uint32_t order_no, int64_t now_ns):
    if engine.state.orders[order_no].ord_status != STATUS_SUSPENDED:
        return 0
    engine.deny(order_no, b"", now_ns)
    return 1


cdef int run_out(Engine engine, int subject, uint32_t index, int64_t due_ns, int64_t now_ns) except -1:
    """A level's time is over: one step down, for as long again as it was set for. Another level may stand there by now."""
    cdef Standing standing = standing_of(engine, subject, index, NONE)
    cdef const LevelEvent *event
    if standing.until_ns != due_ns or standing.level == LEVEL_OBSERVE:
        return 0
    event = <const LevelEvent *>engine.journal.at(standing.offset)
    step_to(engine, subject, standing, step_below(standing.level), now_ns + event.until_ns - event.head.time_ns, "", "",
            "its time ran out", now_ns)
    return 1


# Manual reviews

def open_ticket(Engine engine, int subject, uint32_t index, *, str by, str reason, int64_t now_ns) -> int:
    """Open a manual review of a subject; its number. ValueError without `by` or subject, OSError when the journal is full."""
    cdef Standing standing = standing_of(engine, subject, index, NONE)
    ticket = next_ticket(engine)
    if not by or not ticket:
        raise ValueError("by: got nothing, expected the person" if not by else f"ticket: at most {MOST_TICKETS - 1} a day")
    write_ticket(engine, ticket, subject, index, True, by, reason, now_ns)
    return ticket


def close_ticket(Engine engine, uint32_t ticket, *, str by, str reason, int64_t now_ns) -> None:
    """End a manual review. ValueError when it is not open or nobody signs; OSError when the journal is full."""
    if not 0 < ticket <= engine.state.ticket_count or not engine.state.tickets[ticket].is_open:
        raise ValueError(f"ticket: got {ticket}, expected the number of an open one")
    if not by or not reason:
        raise ValueError("by, reason: expected the person who closes the review, and its result")
    write_ticket(engine, ticket, engine.state.tickets[ticket].subject, engine.state.tickets[ticket].index, False, by, reason, now_ns)


cdef next_ticket(Engine engine):
    """The next free number, 0 when the day's are used up: a freeze never waits for one."""
    return engine.state.ticket_count + 1 if engine.state.ticket_count + 1 < MOST_TICKETS else 0


cdef write_ticket(Engine engine, uint32_t ticket, int subject, uint32_t index, bint is_open, str by, str reason, int64_t now_ns):
    cdef TicketEvent *event = <TicketEvent *>engine.reserve(EV_TICKET, sizeof(TicketEvent), NONE, False, now_ns)
    if event == NULL:
        raise OSError("ticket: the journal is full")
    event.ticket = ticket
    event.subject = subject
    event.index = index
    event.is_open = is_open
    copy_name(event.by, by, sizeof(event.by))
    copy_name(event.reason, reason, sizeof(event.reason))
    engine.record(&event.head)


# Notices

def notify(Engine engine, uint32_t account_index, int level, str rule_text, str text, int64_t now_ns) -> int:
    """A RiskNotice to every session that watches the account; how many. rule_text: `<id>@<version>`, empty: a person."""
    cdef const Watch *watch = &engine.audience.watches[account_index]
    cdef int count = 0
    if account_index >= engine.state.account_count or watch.session == 0:
        return 0
    name = engine.state.accounts[account_index].id[:engine.state.accounts[account_index].id_size].decode()
    notice = risk_notice(name, level, rule_text, text, now_ns)
    while watch != NULL:
        count += (<Caller>engine.audience.callers[watch.session - 1]).send(notice)
        watch = &engine.audience.watches[watch.next] if watch.next else NULL
    return count


def remind(Engine engine, Caller session, list accounts, int64_t now_ns) -> int:
    """Tell a session that just logged on which of its accounts stand at a level, themselves or through their group; how many."""
    cdef uint32_t account, group
    cdef int level, count = 0
    for account in accounts:
        group = engine.state.accounts[account].group
        level = standing_of(engine, SUBJECT_ACCOUNT, account, NONE).level
        if group != NONE:
            level = max(level, standing_of(engine, SUBJECT_GROUP, group, NONE).level)
        if level:
            name = engine.state.accounts[account].id[:engine.state.accounts[account].id_size].decode()
            count += session.send(risk_notice(name, level, "", f"stands at L{level} {LEVEL_NAMES[level]}", now_ns))
    return count


cdef notify_subject(Engine engine, int subject, Standing standing, int level, str rule_text, str text, int64_t now_ns):
    """Everyone whom the change binds hears of it; who watches nothing costs nothing."""
    cdef uint32_t account
    cdef uint32_t group = standing.owner & ~<uint32_t>GROUP_OWNER
    if subject == SUBJECT_ACCOUNT or (subject == SUBJECT_POSITION and not standing.owner & GROUP_OWNER):
        notify(engine, standing.owner, level, rule_text, text, now_ns)
        return
    for account in range(engine.state.account_count):
        if engine.audience.watches[account].session and (subject == SUBJECT_FIRM or engine.state.accounts[account].group == group):
            notify(engine, account, level, rule_text, text, now_ns)


cdef level_text(int level, int mask, str reason):
    names = " ".join(name for name, bit in MASK_BITS.items() if level == LEVEL_RESTRICT and mask & bit)
    return f"L{level} {LEVEL_NAMES[level]}" + (f" {names}" if names else "") + (f": {reason}" if reason else "")


cdef describe(Engine engine, int subject, Standing standing):
    """The subject, for a person."""
    return "the firm" if subject == SUBJECT_FIRM else f"{SUBJECT_NAMES[subject].lower()} {standing.owner & ~<uint32_t>GROUP_OWNER}"
