"""From a rule's hit to a response level: whose level, which, and how long. Sets it through ext.response alone."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ext.engine cimport Engine
from ext.events cimport (
    LEVEL_CANCEL_ONLY, LEVEL_FIRM_KILL, LEVEL_RESTRICT, LEVEL_THROTTLE, NO_BUY, SUBJECT_ACCOUNT, SUBJECT_FIRM, SUBJECT_GROUP,
    SUBJECT_POSITION,
)
from ext.program cimport (
    EFFECT_THIS_INSTRUMENT, KEY_ACCOUNT, KEY_ACCOUNT_INSTRUMENT, KEY_ACCOUNT_VENUE, KEY_CONTROLLER, KEY_CONTROLLER_INSTRUMENT,
    KEY_CONTROLLER_VENUE, Rule, Stage,
)
from ext.state cimport GROUP_OWNER, NONE
from ext.survey cimport stage_of
from ext.tables cimport strnlen

from ext.response import set_level


def raise_level(Engine engine, uint32_t number, int stage_number, int level, uint32_t account, uint32_t group, uint32_t instrument,
                uint64_t hit_offset, int64_t now_ns) -> None:
    """Raise the level of whoever the rule is kept for. number: the rule's index in the rule set in force. A rule of the firm,
    an exchange or an instrument binds nobody below L7. What stands as hard already stays as it is."""
    cdef const Rule *rule = &engine.state.rule_state.book.program.rules[number]
    cdef const Stage *stage = stage_of(rule, stage_number)
    subject = subject_of(rule, account, group)
    if level == LEVEL_FIRM_KILL:
        subject = (SUBJECT_FIRM, 0)
    if subject is None:
        return
    more = {}
    if stage.effects & EFFECT_THIS_INSTRUMENT and level < LEVEL_FIRM_KILL and instrument != NONE:
        more["instrument"] = instrument
        subject = (SUBJECT_POSITION, subject[1] if subject[0] == SUBJECT_ACCOUNT else <uint32_t>GROUP_OWNER | <uint32_t>subject[1])
    if stage.until_ns and level < LEVEL_CANCEL_ONLY:
        more["until_ns"] = now_ns + stage.until_ns
    if level == LEVEL_RESTRICT:
        more["mask"] = stage.mask or NO_BUY
    if level == LEVEL_THROTTLE:
        more["throttle_per_s"] = stage.throttle_per_s or 1
    rule_id = rule.id[:strnlen(rule.id, sizeof(rule.id))].decode()
    set_level(engine, subject[0], subject[1], level, now_ns=now_ns, rule=number + 1,
              rule_set=engine.state.rule_state.book.number, hit_offset=hit_offset, reason=f"rule {rule_id}@{rule.version}",
              rule_text=f"{rule_id}@{rule.version}", **more)


cdef subject_of(const Rule *rule, uint32_t account, uint32_t group):
    """(subject, index) of the rule's key, None: no single one."""
    if rule.key in (KEY_ACCOUNT, KEY_ACCOUNT_VENUE, KEY_ACCOUNT_INSTRUMENT) and account != NONE:
        return SUBJECT_ACCOUNT, account
    if rule.key not in (KEY_CONTROLLER, KEY_CONTROLLER_VENUE, KEY_CONTROLLER_INSTRUMENT):
        return None
    if group != NONE:
        return SUBJECT_GROUP, group
    return None if account == NONE else (SUBJECT_ACCOUNT, account)
