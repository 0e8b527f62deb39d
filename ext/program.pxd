# A compiled rule set as octets: header, features, marks, rules, code, scope entries, security entries, then names for people.
# risk_rules compiles the officers' files into it (program.assemble); ext/surveillance runs it; the journal keeps it. Every
# array starts 8-byte aligned. A program from outside is validated once, at load: no index in it may point out of it.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    PROGRAM_MAGIC = 0x474F5250         # "PROG"
    PROGRAM_LAYOUT = 1
    NOTHING = 0xFFFFFFFF               # no code, no mark, no feature
    MOST_STACK = 16
    MOST_FEATURES = 1024
    MOST_MARKS = 1024
    MOST_RULES = 65536
    PPM = 1000000
    WINDOW_DAY = 0                     # Feature.window_ns
    WINDOW_PHASE = -1

cdef enum RuleEvent:                   # what a rule is evaluated at, and what a feature counts
    ON_ORDER = 0                       # a new order that passed the ladder, before it is accepted: the only one that can be blocked, with
    ON_CANCEL = 1                      # a client's cancel request that would go to the exchange now
    ON_FILL = 2                        # a trade, applied
    ON_CANCELED = 3                    # the unfilled rest of an order left the book by request
    ON_QUOTE = 4                       # a recorded quote, once for each own row that is active in its instrument and for each side
    ON_REJECT = 5                      # an order we rejected: counted, never evaluated
    ON_MARK = 6                        # a mark was set: counted, never evaluated
    RULE_EVENT_COUNT = 7

cdef enum Key:                         # whose row: what a feature is kept for, and what a rule is evaluated for
    KEY_ACCOUNT = 0                    # account index
    KEY_CONTROLLER = 1                 # the account's group, or the account that has none: most_accounts + group, or account
    KEY_ACCOUNT_VENUE = 2              # account * VENUES + venue - 1
    KEY_CONTROLLER_VENUE = 3
    KEY_ACCOUNT_INSTRUMENT = 4         # position index of the account
    KEY_CONTROLLER_INSTRUMENT = 5      # position index of the controller: the group's record, or the account's
    KEY_INSTRUMENT = 6                 # instrument index
    KEY_VENUE = 7                      # venue - 1
    KEY_FIRM = 8                       # 0
    KEY_FIXED = 9                      # one named instrument (an index): Feature.venue, .symbol
    KEY_COUNT = 10

cdef enum FeatureKind:
    FEATURE_SUM = 0                    # sum of an amount over events in a window
    FEATURE_MAX = 1                    # largest amount of one event in a window
    FEATURE_MOVE = 2                   # last price against the price one window ago, ppm, signed
    FEATURE_HIGH = 3                   # highest recorded price in a window, 1e-4 yuan
    FEATURE_LOW = 4
    FEATURE_AGE = 5                    # ns since a mark was last set
    FEATURE_INSTANT = 6                # read from state, market or the event itself: Feature.instant

cdef enum Amount:
    AMOUNT_ONE = 0
    AMOUNT_SHARES = 1
    AMOUNT_E4 = 2                      # yuan in 1e-4: order price (market orders: the held worst case) or trade price times shares

cdef enum Filter:                      # bits; an event is counted when it meets all
    FILTER_AGGRESSIVE = 1              # order whose limit reached the opposite best when accepted, and its fills
    FILTER_PASSIVE = 2
    FILTER_AT_LIMIT = 4                # order price at the limit its side pushes to (buy: up, sell: down)
    FILTER_BEST5 = 8                   # order price within its side's five best recorded levels, or better
    FILTER_BEYOND = 16                 # order price deviates from the previous close by beyond_ppm or more, to its side's disadvantage (buy: above, sell: below)
    FILTER_WITHIN = 32                 # canceled within within_ns of its acceptance
    FILTER_AFTER = 64                  # while the mark `mark` of the opposite side, same row of the mark's key, is younger than this feature's window
    FILTER_SELF = 128                  # fills whose other side is of the same controller
    FILTER_MARKET = 256                # the market's own volume from recorded quotes (no event of ours); KEY_INSTRUMENT, KEY_VENUE, KEY_FIXED

cdef enum Unit:
    UNIT_COUNT = 0
    UNIT_SHARES = 1
    UNIT_YUAN = 2                      # held in 1e-4
    UNIT_PRICE = 3                     # yuan a share, held in 1e-4
    UNIT_RATIO = 4                     # held in ppm
    UNIT_TIME = 5                      # held in ns
    UNIT_FLAG = 6                      # 0 or 1

cdef enum Instant:                     # FEATURE_INSTANT; "own" is of the key (account or controller) in the instrument, the order that is judged included
    INSTANT_THIS_SHARES = 0            # of the order, the fill, the canceled rest
    INSTANT_THIS_YUAN = 1
    INSTANT_THIS_PRICE = 2
    INSTANT_THIS_DEVIATION = 3         # order price against previous close, ppm, signed
    INSTANT_THIS_AGE = 4               # since the order was accepted
    INSTANT_THIS_AGGRESSIVE = 5
    INSTANT_THIS_AT_LIMIT = 6
    INSTANT_THIS_IN_BEST5 = 7
    INSTANT_THIS_MARKET_TYPE = 8       # a market order type
    INSTANT_OPEN_SHARES = 9            # side
    INSTANT_OPEN_ORDERS = 10
    INSTANT_OWN_BEST5_SHARES = 11      # side
    INSTANT_OWN_LIMIT_SHARES = 12      # side
    INSTANT_OWN_LEVELS = 13            # side: distinct prices
    INSTANT_POSITION_SHARES = 14
    INSTANT_BOUGHT_TODAY_SHARES = 15
    INSTANT_BEST5_SHARES = 16          # side: the market's, from the newest recorded quote
    INSTANT_LIMIT_SHARES = 17          # side: the market's queue at the limit price of that side, 0 when none
    INSTANT_LAST_PRICE = 18
    INSTANT_PREV_CLOSE = 19
    INSTANT_DEVIATION = 20             # last (in a call: the indicative price) against previous close, ppm, signed
    INSTANT_IS_AT_LIMIT = 21           # side: last price is at that side's limit
    INSTANT_SPREAD = 22                # ppm of the bid
    INSTANT_TIME_OF_DAY = 23           # ns since midnight in Shanghai
    INSTANT_PHASE_AGE = 24             # ns since the phase began
    INSTANT_SENT_1S = 25               # Account.sent of the venue: new and cancel, sliding second (the order judged included)
    INSTANT_SENT_DAY = 26
    INSTANT_COUNT = 27

cdef struct Feature:
    uint64_t signature                 # equal definition, equal number: such a feature keeps its windows over a reload
    int64_t window_ns
    int64_t beyond_ppm
    int64_t within_ns
    uint32_t symbol
    uint32_t mark                      # FEATURE_AGE, FILTER_AFTER, and sums over ON_MARK; else NOTHING
    uint16_t filters
    uint8_t kind
    uint8_t amount
    uint8_t events                     # bit 1 << RuleEvent
    uint8_t side                       # 0 both, BUY, SELL
    uint8_t key
    uint8_t venue
    uint8_t unit
    uint8_t instant
    uint8_t spare[6]

cdef struct Mark:
    uint64_t signature
    int64_t gap_ns                     # not set again for the same row and side within
    uint32_t code                      # first op; NOTHING: set by the machine (a rule's `for`, a rule's hits)
    uint32_t rule
    uint8_t events
    uint8_t key
    uint8_t spare[6]

cdef enum OpCode:                      # a stack of int64; UNDEFINED (INT64_MIN) spreads through arithmetic, and every comparison with it is false
    OP_HIT = 0                         # ends: true
    OP_MISS = 1                        # ends: false
    OP_JUMP = 2                        # to
    OP_CONST = 3                       # push value
    OP_LOAD = 4                        # push feature a
    OP_LOAD_SIDE = 5                   # push feature a at a BUY event, b at a SELL event
    OP_ADD = 6
    OP_SUB = 7
    OP_MUL = 8                         # by a count; saturates
    OP_MUL_PPM = 9                     # a * b / 1e6, 128-bit inside, rounded down
    OP_RATIO = 10                      # a * 1e6 / b, 128-bit inside, rounded down; undefined when b is 0
    OP_NEG = 11
    OP_ABS = 12
    OP_MIN = 13
    OP_MAX = 14
    OP_UNLESS_GT = 15                  # pop b, pop a: jump to `to` unless a > b
    OP_UNLESS_GE = 16
    OP_UNLESS_LT = 17
    OP_UNLESS_LE = 18
    OP_UNLESS_EQ = 19
    OP_UNLESS_NE = 20
    OP_UNLESS_LOAD_GT = 21             # feature a against value, nothing on the stack: what most rules do
    OP_UNLESS_LOAD_GE = 22
    OP_UNLESS_LOAD_LT = 23
    OP_UNLESS_LOAD_LE = 24
    OP_COUNT = 25

cdef struct Op:
    int64_t value
    uint32_t to                        # op index in the whole code, only forward
    uint16_t factor                    # of a comparison: its number, for the names
    uint8_t code
    uint8_t spare
    uint32_t a                         # feature
    uint32_t b

cdef enum Mode:
    MODE_OFF = 0
    MODE_SHADOW = 1
    MODE_CANARY = 2
    MODE_ENFORCE = 3

cdef enum Effect:                      # Stage.effects, bits, for the order that is judged (ON_ORDER; EFFECT_BLOCK also ON_CANCEL)
    EFFECT_BLOCK = 1
    EFFECT_CONFIRM = 2                 # suspended until confirmed (L2)
    EFFECT_SELLS = 4                   # block and confirm apply to sells too; without it a sell passes
    EFFECT_THIS_INSTRUMENT = 8         # the level binds the subject in this instrument only

cdef struct Stage:                     # warn, breach
    int64_t until_ns                   # how long a level set by it holds, 0: until a person releases it
    uint32_t code                      # first op, NOTHING: no such stage
    uint32_t throttle_per_s
    uint16_t mask
    uint8_t level                      # events.Level
    uint8_t effects

cdef struct Rule:
    Stage warn
    Stage breach
    int64_t valid_from_ns              # 0: always
    int64_t valid_to_ns
    int64_t for_ns                     # the condition must have held that long
    int64_t cool_off_ns                # no second hit of the same row and stage within
    int64_t escalate_within_ns
    uint32_t time_from_s               # of the day in Shanghai
    uint32_t time_to_s                 # 86400: to its end
    uint32_t for_mark                  # mark that says since when the condition holds; NOTHING without `for`
    uint32_t escalate_hits             # 0: never
    uint32_t hit_feature               # feature that counts this rule's hits in escalate_within, of the rule's key; NOTHING
    uint32_t hit_mark                  # mark set by each enforced hit; NOTHING
    uint32_t ttl_ms                    # of EFFECT_CONFIRM
    uint32_t version
    uint32_t scope                     # 1: for the accounts and groups that name it in the scope table or a prefix, 0: not by name
    uint32_t securities                # first SecurityEntry, and how many; 0 of them: all
    uint32_t security_count
    uint32_t exempt                    # first ExemptEntry, and how many
    uint32_t exempt_count
    uint32_t tags_any                  # accounts with one of these tags, 0: not by tag; scope and tags: either is enough, neither: all
    uint32_t tags_none                 # accounts with one of these tags are out of scope
    uint16_t reject_code
    uint16_t phases                    # bit 1 << Phase
    uint8_t events
    uint8_t key
    uint8_t mode
    uint8_t canary_pct
    uint8_t venues                     # bit 1 << Venue
    uint8_t boards                     # bit 1 << Board
    uint8_t sides                      # bit 1 << Side
    uint8_t st                         # 0 all, 1 risk-warning stocks only, 2 all others
    uint8_t escalate_to                # Level
    uint8_t spare[3]
    char id[24]

# Which rules an account or group is named by. The table is open addressing over `hash`, a power of two of slots, at most half
# full; a slot names a run of rule numbers in `lists`.
cdef struct ScopeSlot:
    uint64_t hash                      # hash_bytes(id, size, 1) of an account, seed 2 of a group; 0: free
    uint32_t first                     # in lists
    uint32_t count
    char id[16]                        # padded with zeros

cdef struct ScopePrefix:               # a rule for accounts whose id begins so
    char prefix[16]
    uint32_t size
    uint32_t rule

cdef struct SecurityEntry:             # sorted by (venue, symbol) within one rule
    uint32_t symbol
    uint32_t venue

cdef struct ExemptEntry:               # sorted by hash within one rule
    uint64_t hash                      # of the account id, seed 1; of a group, seed 2
    int64_t until_ns                   # exempt before it: hits are recorded only; INT64_MAX: out of scope (`except`), nothing is recorded

cdef struct ProgramHeader:
    uint32_t magic
    uint32_t layout
    uint32_t size                      # all octets
    uint32_t crc                       # CRC-32C of everything behind this header
    uint32_t feature_count
    uint32_t mark_count
    uint32_t rule_count
    uint32_t op_count
    uint32_t slot_count                # power of two, or 0
    uint32_t list_count                # uint32 rule numbers
    uint32_t prefix_count
    uint32_t security_count
    uint32_t exempt_count
    uint32_t names_size                # JSON, UTF-8: for people, the core reads none of it

cdef struct Program:                   # where the arrays of a validated program stand in its octets
    const ProgramHeader *head
    const Feature *features
    const Mark *marks
    const Rule *rules
    const Op *ops
    const ScopeSlot *slots
    const uint32_t *lists              # rule indexes, from 0 as everywhere inside a program
    const ScopePrefix *prefixes
    const SecurityEntry *securities
    const ExemptEntry *exempts
    const char *names
    uint64_t size                      # up to the end of the names, padded to 8

cdef enum ProgramFault:                # why validate_program refuses; names in program.pyx
    FAULT_SIZE = -1
    FAULT_MAGIC = -2
    FAULT_LAYOUT = -3
    FAULT_CRC = -4
    FAULT_COUNTS = -5
    FAULT_FEATURE = -6
    FAULT_MARK = -7
    FAULT_RULE = -8
    FAULT_OP = -9
    FAULT_JUMP = -10
    FAULT_STACK = -11
    FAULT_SCOPE = -12
    FAULT_SECURITY = -13
    FAULT_EXEMPT = -14
    FAULT_MEMORY = -15

cdef void open_program(const uint8_t *octets, Program *program) noexcept   # octets: 8-byte aligned, at least a header
cdef int validate_program(const uint8_t *octets, size_t size) noexcept     # 1, or a ProgramFault
