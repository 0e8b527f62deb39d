"""Names of the enums in program.pxd and of the response ladder, for the compiler of rules and for people."""

from libc.stdint cimport uint32_t

from ext.events cimport (
    LEVEL_CANCEL_ONLY, LEVEL_CONFIRM, LEVEL_FIRM_KILL, LEVEL_FREEZE, LEVEL_OBSERVE, LEVEL_RESTRICT, LEVEL_THROTTLE, LEVEL_WARN,
    NO_AUCTION, NO_BUY, NO_CHINEXT, NO_MAIN, NO_MARKET, NO_PROGRAMME, NO_SELL, NO_STAR,
)
from ext.program cimport *

ABSENT = <uint32_t>NOTHING
LIMITS: dict[str, int] = {
    "stack": MOST_STACK, "features": MOST_FEATURES, "marks": MOST_MARKS, "rules": MOST_RULES, "comparisons": 65535,
}
WINDOWS: dict[str, int] = {"day": WINDOW_DAY, "phase": WINDOW_PHASE}
EVENTS: dict[str, int] = {
    "order": ON_ORDER, "cancel": ON_CANCEL, "fill": ON_FILL, "canceled": ON_CANCELED, "quote": ON_QUOTE, "reject": ON_REJECT,
    "mark": ON_MARK,
}
KEYS: dict[str, int] = {
    "account": KEY_ACCOUNT, "controller": KEY_CONTROLLER, "account x venue": KEY_ACCOUNT_VENUE,
    "controller x venue": KEY_CONTROLLER_VENUE, "account x instrument": KEY_ACCOUNT_INSTRUMENT,
    "controller x instrument": KEY_CONTROLLER_INSTRUMENT, "instrument": KEY_INSTRUMENT, "venue": KEY_VENUE, "firm": KEY_FIRM,
    "fixed": KEY_FIXED,
}
KINDS: dict[str, int] = {
    "sum": FEATURE_SUM, "max": FEATURE_MAX, "move": FEATURE_MOVE, "high": FEATURE_HIGH, "low": FEATURE_LOW,
    "age": FEATURE_AGE, "instant": FEATURE_INSTANT,
}
AMOUNTS: dict[str, int] = {"one": AMOUNT_ONE, "shares": AMOUNT_SHARES, "yuan": AMOUNT_E4}
FILTERS: dict[str, int] = {
    "aggressive": FILTER_AGGRESSIVE, "passive": FILTER_PASSIVE, "at_limit": FILTER_AT_LIMIT, "best5": FILTER_BEST5,
    "beyond": FILTER_BEYOND, "within": FILTER_WITHIN, "after": FILTER_AFTER, "self": FILTER_SELF, "market": FILTER_MARKET,
}
UNITS: dict[str, int] = {
    "count": UNIT_COUNT, "shares": UNIT_SHARES, "yuan": UNIT_YUAN, "price": UNIT_PRICE, "ratio": UNIT_RATIO, "time": UNIT_TIME,
    "flag": UNIT_FLAG,
}
INSTANTS: dict[str, int] = {
    "this_shares": INSTANT_THIS_SHARES, "this_yuan": INSTANT_THIS_YUAN, "this_price": INSTANT_THIS_PRICE,
    "this_deviation": INSTANT_THIS_DEVIATION, "this_age": INSTANT_THIS_AGE, "this_aggressive": INSTANT_THIS_AGGRESSIVE,
    "this_at_limit": INSTANT_THIS_AT_LIMIT, "this_in_best5": INSTANT_THIS_IN_BEST5,
    "this_market_type": INSTANT_THIS_MARKET_TYPE, "open_shares": INSTANT_OPEN_SHARES, "open_orders": INSTANT_OPEN_ORDERS,
    "own_best5_shares": INSTANT_OWN_BEST5_SHARES, "own_limit_shares": INSTANT_OWN_LIMIT_SHARES,
    "own_levels": INSTANT_OWN_LEVELS, "position_shares": INSTANT_POSITION_SHARES,
    "bought_today_shares": INSTANT_BOUGHT_TODAY_SHARES, "best5_shares": INSTANT_BEST5_SHARES,
    "limit_shares": INSTANT_LIMIT_SHARES, "last_price": INSTANT_LAST_PRICE, "prev_close": INSTANT_PREV_CLOSE,
    "deviation": INSTANT_DEVIATION, "is_at_limit": INSTANT_IS_AT_LIMIT, "spread": INSTANT_SPREAD,
    "time_of_day": INSTANT_TIME_OF_DAY, "phase_age": INSTANT_PHASE_AGE, "sent_per_s": INSTANT_SENT_1S,
    "sent_today": INSTANT_SENT_DAY,
}
OPS: dict[str, int] = {
    "HIT": OP_HIT, "MISS": OP_MISS, "JUMP": OP_JUMP, "CONST": OP_CONST, "LOAD": OP_LOAD, "LOAD_SIDE": OP_LOAD_SIDE,
    "ADD": OP_ADD, "SUB": OP_SUB, "MUL": OP_MUL, "MUL_PPM": OP_MUL_PPM, "RATIO": OP_RATIO, "NEG": OP_NEG, "ABS": OP_ABS,
    "MIN": OP_MIN, "MAX": OP_MAX, "UNLESS_GT": OP_UNLESS_GT, "UNLESS_GE": OP_UNLESS_GE, "UNLESS_LT": OP_UNLESS_LT,
    "UNLESS_LE": OP_UNLESS_LE, "UNLESS_EQ": OP_UNLESS_EQ, "UNLESS_NE": OP_UNLESS_NE,
    "UNLESS_LOAD_GT": OP_UNLESS_LOAD_GT, "UNLESS_LOAD_GE": OP_UNLESS_LOAD_GE, "UNLESS_LOAD_LT": OP_UNLESS_LOAD_LT,
    "UNLESS_LOAD_LE": OP_UNLESS_LOAD_LE,
}
MODES: dict[str, int] = {"off": MODE_OFF, "shadow": MODE_SHADOW, "canary": MODE_CANARY, "enforce": MODE_ENFORCE}
EFFECTS: dict[str, int] = {
    "block": EFFECT_BLOCK, "confirm": EFFECT_CONFIRM, "sells": EFFECT_SELLS, "instrument_only": EFFECT_THIS_INSTRUMENT,
}
LEVELS: dict[str, int] = {
    "L0": LEVEL_OBSERVE, "L1": LEVEL_WARN, "L2": LEVEL_CONFIRM, "L3": LEVEL_THROTTLE, "L4": LEVEL_RESTRICT,
    "L5": LEVEL_CANCEL_ONLY, "L6": LEVEL_FREEZE, "L7": LEVEL_FIRM_KILL,
}
MASKS: dict[str, int] = {
    "no_buy": NO_BUY, "no_sell": NO_SELL, "no_market": NO_MARKET, "no_auction": NO_AUCTION, "no_programme": NO_PROGRAMME,
    "no_main": NO_MAIN, "no_star": NO_STAR, "no_chinext": NO_CHINEXT,
}
