"""The limits of the system tests: accounts that are roomy, and accounts whose every limit can be met with one order."""

import hashlib
from typing import Any

MARKET_TYPES = ["MARKET_BEST5_CANCEL", "MARKET_BEST5_LIMIT", "MARKET_OWN_BEST", "MARKET_OPPOSITE_BEST", "MARKET_IOC", "MARKET_FOK"]
ALL_TYPES = ["LIMIT", *MARKET_TYPES]
ROOMY = {
    "max_qty_shares": 1_000_000, "max_ntl_yuan": 50_000_000, "gross_limit_yuan": 4_000_000_000, "long_limit_yuan": 2_000_000_000,
    "short_limit_yuan": 2_000_000_000, "position_limit_shares": 100_000_000, "open_orders": 50_000,
    "open_orders_per_symbol": 50_000, "rate_out_per_s": 50_000, "rate_out_per_day": 1_000_000, "rate_symbol_per_s": 50_000,
    "dup_window_ms": 1, "dup_max": 50_000, "boards": ["MAIN", "STAR", "CHINEXT"], "ord_types": ALL_TYPES,
}
# What is narrow for one account each: the account's name says which check it meets.
NARROW: dict[str, dict[str, Any]] = {
    "FROZEN": {"state": "FROZEN"},
    "CANCELONLY": {"state": "CANCEL_ONLY"},
    "SELLONLY": {"state": "SELL_ONLY"},
    "LIMITONLY": {"ord_types": ["LIMIT"]},
    "MAINONLY": {"boards": ["MAIN"]},
    "SMALLQTY": {"max_qty_shares": 500},
    "SMALLNTL": {"max_ntl_yuan": 5000},
    "POOR": {"cash_yuan": 1000},
    "GROSS": {"gross_limit_yuan": 5000},
    "NET": {"long_limit_yuan": 5000},
    "POSITION": {"position_limit_shares": 1000},
    "OPEN": {"open_orders": 1},
    "OPENSYM": {"open_orders_per_symbol": 1},
    "RATEOUT": {"rate_out_per_s": 2},
    "RATESYM": {"rate_symbol_per_s": 2},
    "DUPLICATE": {"dup_window_ms": 60_000, "dup_max": 2},
}
FRONTS = ("A1", "A2", "A3", "B1", "SLOW1", "LATCH1")


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def limits_of(symbols: dict[str, list[str]]) -> dict[str, Any]:
    """Limits for one gateway; symbols: venue -> its own symbols, of which every account in FRONTS holds 100,000 shares."""
    narrow = {name: {"profile": "roomy", "cash_yuan": 10_000_000} | change for name, change in NARROW.items()}
    narrow["RESTRICTED"] = {"profile": "roomy", "cash_yuan": 10_000_000, "restricted": [
        {"symbol": symbols["XSHG"][0], "security_exchange": "XSHG", "sides": ["BUY"]}]}
    accounts = [{"id": name, "profile": "roomy", "cash_yuan": 1_000_000_000} for name in FRONTS]
    accounts += [{"id": name, **change} for name, change in narrow.items()]
    for number, account in enumerate(accounts, 1):
        account["shareholder"] = {"XSHG": f"A{number:09d}", "XSHE": f"{number:010d}"}
    accounts.append({"ids": "L0001-L0200", "profile": "roomy", "cash_yuan": 1_000_000_000,
                     "shareholder": {"XSHG": "A200000001", "XSHE": "0200000001"}})
    return {
        "schema": 1,
        "rule_set": {"id": "system-tests", "version": 3},
        "fees": {"commission_rate_pct": 0.025, "commission_min_yuan": 5, "transfer_rate_pct": 0.001, "handling_rate_pct": 0.00341,
                 "regulatory_rate_pct": 0.002, "stamp_rate_pct": 0.05},
        "boards": {
            "MAIN": board(100, 100, 100, 1_000_000, 1_000_000, 10, ALL_TYPES),
            "STAR": board(200, 1, 200, 100_000, 50_000, 0, ALL_TYPES[:5]),
            "CHINEXT": board(100, 100, 100, 300_000, 150_000, 10, ALL_TYPES),
        },
        "collars": {"OPEN_CALL": {"bps": 900, "ticks": 20}, "CONTINUOUS": {"bps": 500, "ticks": 20},
                    "CLOSE_CALL": {"bps": 500, "ticks": 20}},
        "market_data": {"max_age_ms": 10_000},
        "firm": {"gross_limit_yuan": 100_000_000_000, "long_limit_yuan": 50_000_000_000, "short_limit_yuan": 50_000_000_000,
                 "capital_limit_yuan": 90_000_000_000},
        "profiles": {"roomy": ROOMY},
        "accounts": accounts,
        "positions": [{"account": account, "symbol": symbol, "security_exchange": venue, "total_shares": 100_000,
                       "sellable_shares": 100_000}
                      for account in FRONTS for venue, own in symbols.items() for symbol in own],
        "tokens": [
            token("alpha", ["A1", "A2", "A3"]),
            token("beta", ["B1"]),
            token("slow", ["SLOW1"], rate_in_per_s=3, cancel_rate_in_per_s=3),
            token("latch", ["LATCH1"], reject_streak_max=3, reject_latch_ms=60_000),
            token("narrow", list(narrow)),
            token("load", ["L*"]),
        ],
    }


def board(buy_min: int, step: int, odd_lot: int, max_limit: int, max_market: int, cage_ticks: int, types: list[str]) -> dict[str, Any]:
    return {"buy_min_shares": buy_min, "step_shares": step, "odd_lot_shares": odd_lot, "max_limit_shares": max_limit,
            "max_market_shares": max_market, "cage_bps": 200, "cage_ticks": cage_ticks, "ord_types": types}


def token(name: str, accounts: list[str], **change: int) -> dict[str, Any]:
    return {"token_sha256": token_hash(name), "accounts": accounts, "rate_in_per_s": 100_000, "cancel_rate_in_per_s": 100_000,
            "reject_streak_max": 1_000_000, "reject_latch_ms": 5000} | change
