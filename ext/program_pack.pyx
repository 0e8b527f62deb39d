"""Lays the compiler's plain values out as the octets of a program. Judges nothing: ext.program validates what comes out."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ext.journal cimport crc32c
from ext.program cimport (
    NOTHING, PROGRAM_LAYOUT, PROGRAM_MAGIC, ExemptEntry, Feature, Mark, Op, ProgramHeader, Rule, ScopePrefix, ScopeSlot,
    SecurityEntry, Stage,
)
from ext.tables cimport hash_bytes


def pack(features, marks, rules, code, scopes, prefixes, securities, exempts, bytes names) -> bytes:
    """The octets; arguments as of ext.program.assemble. Raises ValueError or OverflowError when a value has no room in its field."""
    cdef ProgramHeader head
    cdef bytes body
    slots, lists = pack_scopes(scopes)
    parts = [b"".join([pack_feature(feature) for feature in features]), b"".join([pack_mark(mark) for mark in marks]),
             b"".join([pack_rule(rule) for rule in rules]), b"".join([pack_op(op) for op in code]), slots, lists,
             b"".join([pack_prefix(text, rule) for text, rule in prefixes]),
             b"".join([pack_security(symbol, venue) for symbol, venue in securities]), pack_exempts(rules, exempts), names]
    body = b"".join([part + bytes((8 - len(part) % 8) % 8) for part in parts])
    memset(&head, 0, sizeof(head))
    head.magic = PROGRAM_MAGIC
    head.layout = PROGRAM_LAYOUT
    head.size = sizeof(ProgramHeader) + len(body)
    head.crc = crc32c(<const uint8_t *><const char *>body, len(body), 0)
    head.feature_count = len(features)
    head.mark_count = len(marks)
    head.rule_count = len(rules)
    head.op_count = len(code)
    head.slot_count = len(slots) // sizeof(ScopeSlot)
    head.list_count = len(lists) // sizeof(uint32_t)
    head.prefix_count = len(prefixes)
    head.security_count = len(securities)
    head.exempt_count = len(exempts)
    head.names_size = len(names)
    return (<const char *>&head)[:sizeof(ProgramHeader)] + body


cdef copy_text(char *to, str text, size_t size):
    cdef bytes octets = text.encode()
    if not 0 < len(octets) <= size:
        raise ValueError(f"{text!r}: expected 1 to {size} bytes")
    memcpy(to, <const char *>octets, len(octets))


cdef bytes pack_feature(feature):
    cdef Feature packed
    memset(&packed, 0, sizeof(packed))
    packed.signature = feature.signature
    packed.window_ns = feature.window_ns
    packed.beyond_ppm = feature.beyond_ppm
    packed.within_ns = feature.within_ns
    packed.symbol = feature.symbol
    packed.mark = feature.mark
    packed.filters = feature.filters
    packed.kind = feature.kind
    packed.amount = feature.amount
    packed.events = feature.events
    packed.side = feature.side
    packed.key = feature.key
    packed.venue = feature.venue
    packed.unit = feature.unit
    packed.instant = feature.instant
    return (<const char *>&packed)[:sizeof(packed)]


cdef bytes pack_mark(mark):
    cdef Mark packed
    memset(&packed, 0, sizeof(packed))
    packed.signature = mark.signature
    packed.gap_ns = mark.gap_ns
    packed.code = mark.code
    packed.rule = mark.rule
    packed.events = mark.events
    packed.key = mark.key
    return (<const char *>&packed)[:sizeof(packed)]


cdef bytes pack_op(op):
    cdef Op packed
    memset(&packed, 0, sizeof(packed))
    packed.value = op.value
    packed.to = op.to
    packed.factor = op.factor
    packed.code = op.code
    packed.a = op.a
    packed.b = op.b
    return (<const char *>&packed)[:sizeof(packed)]


cdef pack_stage(Stage *packed, stage):
    packed.code = NOTHING
    if stage is None:
        return
    packed.until_ns = stage.until_ns
    packed.code = stage.code
    packed.throttle_per_s = stage.throttle_per_s
    packed.mask = stage.mask
    packed.level = stage.level
    packed.effects = stage.effects


cdef bytes pack_rule(rule):
    cdef Rule packed
    memset(&packed, 0, sizeof(packed))
    pack_stage(&packed.warn, rule.warn)
    pack_stage(&packed.breach, rule.breach)
    packed.valid_from_ns = rule.valid_from_ns
    packed.valid_to_ns = rule.valid_to_ns
    packed.for_ns = rule.for_ns
    packed.cool_off_ns = rule.cool_off_ns
    packed.escalate_within_ns = rule.escalate_within_ns
    packed.time_from_s = rule.time_from_s
    packed.time_to_s = rule.time_to_s
    packed.for_mark = rule.for_mark
    packed.escalate_hits = rule.escalate_hits
    packed.hit_feature = rule.hit_feature
    packed.hit_mark = rule.hit_mark
    packed.ttl_ms = rule.ttl_ms
    packed.version = rule.version
    packed.scope = rule.scope
    packed.securities = rule.securities
    packed.security_count = rule.security_count
    packed.exempt = rule.exempt
    packed.exempt_count = rule.exempt_count
    packed.tags_any = rule.tags_any
    packed.tags_none = rule.tags_none
    packed.reject_code = rule.reject_code
    packed.phases = rule.phases
    packed.events = rule.events
    packed.key = rule.key
    packed.mode = rule.mode
    packed.canary_pct = rule.canary_pct
    packed.venues = rule.venues
    packed.boards = rule.boards
    packed.sides = rule.sides
    packed.st = rule.st
    packed.escalate_to = rule.escalate_to
    copy_text(packed.id, rule.id, sizeof(packed.id))
    return (<const char *>&packed)[:sizeof(packed)]


# --- whom and what rules are for ---


cdef uint64_t hash_of(str text, int seed):
    cdef bytes octets = text.encode()
    return hash_bytes(octets, len(octets), seed)


cdef pack_scopes(scopes):
    """(slots, lists): the table is at most half full, so that a search for what is not there ends."""
    cdef ScopeSlot slot
    cdef uint64_t at
    cdef uint64_t count = 2
    if not scopes:
        return b"", b""
    while count < 2 * len(scopes):
        count *= 2
    slots = [bytes(sizeof(ScopeSlot))] * count
    is_taken = bytearray(count)
    lists = []
    for seed, text, indexes in scopes:
        memset(&slot, 0, sizeof(slot))
        slot.hash = hash_of(text, seed)
        slot.first = len(lists)
        slot.count = len(indexes)
        copy_text(slot.id, text, sizeof(slot.id))
        lists.extend(sorted(indexes))
        at = slot.hash & (count - 1)
        while is_taken[at]:
            at = (at + 1) & (count - 1)
        is_taken[at] = 1
        slots[at] = (<const char *>&slot)[:sizeof(slot)]
    octets = b"".join([number.to_bytes(sizeof(uint32_t), "little") for number in lists])
    return b"".join(slots), octets


cdef bytes pack_prefix(str text, uint32_t rule):
    cdef ScopePrefix packed
    memset(&packed, 0, sizeof(packed))
    copy_text(packed.prefix, text, sizeof(packed.prefix))
    packed.size = len(text)
    packed.rule = rule
    return (<const char *>&packed)[:sizeof(packed)]


cdef bytes pack_security(uint32_t symbol, uint32_t venue):
    cdef SecurityEntry packed = SecurityEntry(symbol=symbol, venue=venue)
    return (<const char *>&packed)[:sizeof(packed)]


cdef bytes pack_exempts(rules, exempts):
    """Each rule's run sorted by hash, for a binary search."""
    cdef ExemptEntry packed
    octets = []
    for rule in rules:
        run = exempts[rule.exempt:rule.exempt + rule.exempt_count]
        for digest, until_ns in sorted([(hash_of(text, seed), until_ns) for seed, text, until_ns in run]):
            packed = ExemptEntry(hash=digest, until_ns=until_ns)
            octets.append((<const char *>&packed)[:sizeof(packed)])
    return b"".join(octets)
