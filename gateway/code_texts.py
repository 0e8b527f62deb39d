"""What every reject code checks, for people: a line or two each, true to docs/ladder.md. It decides nothing."""

import msgspec

from ext.codes import REJECT_CODES


class CodeText(msgspec.Struct, frozen=True):
    """One code: what it checks, its formula, the limit it reads (a key of the limits file, or where else it stands).

    unit: of `v` and `lim` in a reject's text: yuan, price, shares, count, ms, or number for what is none of these.
    """

    checks: str
    formula: str
    limit: str
    unit: str = "number"


TEXTS: dict[int, CodeText] = {
    1001: CodeText(
        "the session owns the account, and account and strategy are registered",
        "account not in the token's accounts",
        "tokens.accounts; strategies",
    ),
    1002: CodeText(
        "nobody who was restricted trades",
        "account FROZEN or CANCEL_ONLY; SELL_ONLY and the order buys; a response level (L4 mask, L5, L6) binds "
        "account, group or instrument",
        "accounts.state; levels of the response ladder",
    ),
    1003: CodeText(
        "the instrument trades",
        "unknown, suspended, not listed, delisted, or an index",
        "instruments.status",
    ),
    1004: CodeText(
        "the phase takes orders",
        "phase is none of OPEN_CALL, OPEN_CALL_LOCKED, CONTINUOUS, CLOSE_CALL",
        "the exchange's own phase",
    ),
    1005: CodeText("the instrument is not banned for this side", "side in the ban", "profiles.restricted"),
    1006: CodeText(
        "the order's type is allowed here and now",
        "type not enabled for account or board, not offered by the exchange, a market type outside CONTINUOUS, or "
        "a market buy without up limit and protection price",
        "profiles.ord_types, boards.ord_types",
    ),
    1007: CodeText(
        "the investor may buy this kind of instrument",
        "no permission for the board, or the account's risk level below the instrument's (waits for a "
        "confirmation; of the lowest class: rejected)",
        "profiles.boards; accounts.risk_level",
    ),
    1101: CodeText(
        "lots and odd lots",
        "buy: qty < min or (qty - min) % step; sell: an odd lot that is not the whole rest",
        "boards.buy_min_shares, step_shares, odd_lot_shares", "shares",
    ),
    1102: CodeText(
        "size of one order",
        "qty > least of the instrument's, the board's and the account's maximum",
        "boards.max_limit_shares, max_market_shares; profiles.max_qty_shares", "shares",
    ),
    1103: CodeText("value of one order", "wpx * qty > limit", "profiles.max_ntl_yuan", "yuan"),
    1104: CodeText(
        "size against the market's",
        "qty > pct of the 20-day average volume, or of the shares there are",
        "profiles.max_adv_pct, max_float_pct", "shares",
    ),
    1105: CodeText("price step", "px % tick", "instruments.tick_e4", "price"),
    1106: CodeText(
        "daily price limits",
        "px outside [down limit, up limit]",
        "instruments.up_limit_e4, down_limit_e4", "price",
    ),
    1107: CodeText(
        "valid declaration range (price cage)",
        "buy: px > ref * (1 + cage) and px > ref + ticks * tick; sell likewise below; ref = opposite best, own "
        "best, last, previous close",
        "boards.cage_bps, cage_ticks", "price",
    ),
    1108: CodeText(
        "distance from the reference price",
        "d = px beyond ref; d > ref * bps and d > ticks * tick",
        "collars", "price",
    ),
    1109: CodeText(
        "orders far beyond the reference, together",
        "net notional priced beyond x % of ref within the window > limit",
        "profiles.price_window_pct, price_window_ms, price_window_ntl_yuan", "yuan",
    ),
    1110: CodeText(
        "market data is fresh",
        "CONTINUOUS: no quote of the instrument yet, or the exchange's feed silent for longer",
        "market_data.max_age_ms", "ms",
    ),
    1201: CodeText(
        "a cl_ord_id is used once a day",
        "same account and cl_ord_id, other content; v is the order that has it",
        "none",
    ),
    1202: CodeText(
        "the same order again and again",
        "the last dup_max accepted orders were all this side, type, price and quantity, each within the window of "
        "the one before",
        "profiles.dup_max, dup_window_ms", "count",
    ),
    1203: CodeText(
        "messages a second into the gateway, per token",
        "orders of the last second >= limit; cancels on their own",
        "tokens.rate_in_per_s, cancel_rate_in_per_s", "count",
    ),
    1204: CodeText(
        "messages to one exchange",
        "sent in the last second or today >= limit; at level L3 the throttle's",
        "profiles.rate_out_per_s, rate_out_per_day; throttle of a level", "count",
    ),
    1205: CodeText(
        "orders a second in one instrument",
        "accepted in the last second >= limit",
        "profiles.rate_symbol_per_s", "count",
    ),
    1206: CodeText(
        "executions without a human touch",
        "trades of the strategy in the window >= raet_max: off until a person rearms it",
        "strategies.raet_max, raet_window_s", "count",
    ),
    1207: CodeText(
        "a streak of rejects",
        "reject_streak_max in a row latch the port for reject_latch_ms (a strategy: until rearmed)",
        "tokens.reject_streak_max, reject_latch_ms; strategies.reject_streak_max", "count",
    ),
    1208: CodeText(
        "working orders at one time",
        "open orders, or those in this instrument >= limit",
        "profiles.open_orders, open_orders_per_symbol", "count",
    ),
    1301: CodeText("the money is there", "buy: ntl + fees > cash - cash held", "cash of the account", "yuan"),
    1302: CodeText("the shares are there (T+1)", "sell: qty > sellable - held", "position of the account", "shares"),
    1303: CodeText(
        "gross exposure of account, group, firm, strategy",
        "open buys + open sells + filled buys + filled sells + ntl > limit",
        "gross_limit_yuan", "yuan",
    ),
    1304: CodeText(
        "net exposure of account, group, firm, instrument",
        "buy: open_buy + max(filled_buy - filled_sell, 0) + ntl > limit; sell likewise",
        "long_limit_yuan, short_limit_yuan", "yuan",
    ),
    1305: CodeText(
        "position in one instrument",
        "buy: total + open_buy + qty > limit; risk-warning stock: 500,000 bought a day; or a share of the float",
        "profiles.position_limit_shares, position_float_pct", "shares",
    ),
    1306: CodeText(
        "concentration",
        "(market value + open buys + ntl) / opening net value > pct",
        "profiles.concentration_pct", "yuan",
    ),
    1307: CodeText(
        "business of the day",
        "accepted orders' value or traded value today + ntl > limit, for account, group, firm",
        "order_value_per_day_yuan, traded_value_per_day_yuan", "yuan",
    ),
    1308: CodeText(
        "loss of the day",
        "realised + marked profit < -limit: buys (or everything) rejected",
        "loss_limit_yuan, loss_action", "yuan",
    ),
    1309: CodeText("the firm's capital", "firm gross + ntl > limit", "firm.capital_limit_yuan", "yuan"),
    1310: CodeText(
        "front-end capital control of a trading unit",
        "open buys + filled buys - filled sells + ntl > quota",
        "units.net_buy_quota_yuan", "yuan",
    ),
    1311: CodeText(
        "children stay within their parent",
        "open and filled children + qty > parent's quantity",
        "NewOrder.parent_qty_shares", "shares",
    ),
    1312: CodeText(
        "a whole basket",
        "notional, lines, or share of the gross limit > cap: every line is rejected",
        "profiles.basket_max_ntl_yuan, basket_max_lines, basket_max_gross_pct",
    ),
    1401: CodeText(
        "no trade with oneself",
        "the order could meet an open order of its own controller",
        "own open orders", "price",
    ),
    1402: CodeText(
        "short sales",
        "not shortable, more than was located, or below the last price",
        "instruments.shortable; locates",
    ),
    1403: CodeText(
        "abnormal trading",
        "a rule of the rule set in force was broken: its own condition",
        "the rule's own limits",
    ),
    1501: CodeText("kill switch", "port, account, group or firm is killed", "kill, by a person or a level"),
    1502: CodeText(
        "a second look",
        "beyond a soft limit, or at level L2: waits for a confirmation, rejected when none comes",
        "profiles.soft_ntl_yuan, soft_qty_shares, confirm_ttl_ms; levels of the response ladder",
    ),
    1601: CodeText("the exchange can be reached", "link down, or not yet synchronised", "the exchange link"),
    1602: CodeText("the exchange itself refused", "v is the exchange's own reason", "the exchange"),
    1603: CodeText("room for the order", "order store or journal full", "--max-orders; the journal's disk", "count"),
    1604: CodeText("the order to cancel or confirm exists", "no such order of the account", "none"),
    1605: CodeText(
        "the message is whole",
        "a field is missing, unknown or out of range; the text names it",
        "the interface itself",
    ),
    1606: CodeText("the order to cancel is open", "already filled, canceled, expired or rejected", "none"),
    1607: CodeText("one cancel at a time", "a cancel of this order is under way", "none"),
    1608: CodeText("a standby holds the journal", "durability replica and no standby in step", "--durability"),
    1609: CodeText("room for another order now", "more came in than the shard can take: shed unjudged", "the shard"),
    1610: CodeText("the account lives here", "it lives at another shard; the text has the address", "the topology"),
    1611: CodeText("the account stays here", "it is on its way to another shard", "tidegate accounts move"),
    1612: CodeText(
        "a limit that spans shards",
        "this shard's leased share of it is used up, and no more is to be had",
        "groups and firm limits", "yuan",
    ),
    1613: CodeText("room on the journal's disk", "the disk is full", "the journal's disk", "bytes"),
    1614: CodeText("this process owns the shard", "another does, or it is being handed over", "tidegate handover"),
}


def code_name(code: int) -> str:
    """`R1301 CASH`; the code alone when it has no name."""
    return f"R{code} {REJECT_CODES[code][0]}" if code in REJECT_CODES else f"R{code}"
