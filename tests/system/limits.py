"""The limits of the system tests: accounts that are roomy, and accounts whose every limit can be met with one order."""

import hashlib
from typing import Any

import yaml

from gateway.cli import SHIPPED_LIMITS

MARKET_TYPES = [
    "MARKET_BEST5_CANCEL",
    "MARKET_BEST5_LIMIT",
    "MARKET_OWN_BEST",
    "MARKET_OPPOSITE_BEST",
    "MARKET_IOC",
    "MARKET_FOK",
]
ALL_TYPES = ["LIMIT", *MARKET_TYPES]
ROOMY = {
    "max_qty_shares": 1_000_000,
    "max_ntl_yuan": 50_000_000,
    "gross_limit_yuan": 4_000_000_000,
    "long_limit_yuan": 2_000_000_000,
    "short_limit_yuan": 2_000_000_000,
    "position_limit_shares": 100_000_000,
    "open_orders": 50_000,
    "open_orders_per_symbol": 50_000,
    "rate_out_per_s": 50_000,
    "rate_out_per_day": 1_000_000,
    "rate_symbol_per_s": 50_000,
    "dup_window_ms": 1,
    "dup_max": 50_000,
    "boards": ["MAIN", "STAR", "CHINEXT"],
    "ord_types": ALL_TYPES,
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
    "BASKET": {"basket_max_lines": 2},
    "SOFT": {"soft_qty_shares": 500},
    "DUPLICATE": {"dup_window_ms": 60_000, "dup_max": 2},
}
SELLABLE = {"sellable_shares": 100_000}
FRONTS = ("A1", "A2", "A3", "B1", "SLOW1", "LATCH1")


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def limits_of(symbols: dict[str, list[str]]) -> dict[str, Any]:
    """Limits for one gateway on the fees and boards that ship; symbols: venue -> its own symbols.

    Every account in FRONTS holds 100,000 shares of each.
    """
    limits: dict[str, Any] = yaml.safe_load(SHIPPED_LIMITS.read_text())
    holdings = [
        {"account": account, "symbol": symbol, "security_exchange": venue, "total_shares": 100_000} | SELLABLE
        for account in FRONTS
        for venue, own in symbols.items()
        for symbol in own
    ]
    return limits | {
        "rule_set": {"id": "system-tests", "version": 3},
        "groups": [],
        "profiles": {"roomy": ROOMY},
        "accounts": accounts_of(symbols),
        "positions": holdings,
        "tokens": [
            token("alpha", ["A1", "A2", "A3"]),
            token("beta", ["B1"]),
            token("slow", ["SLOW1"], rate_in_per_s=3, cancel_rate_in_per_s=3),
            token("latch", ["LATCH1"], reject_streak_max=3, reject_latch_ms=60_000),
            token("narrow", [*NARROW, "RESTRICTED"]),
            token("load", ["L*"]),
        ],
    }


def accounts_of(symbols: dict[str, list[str]]) -> list[dict[str, Any]]:
    """FRONTS and the load's accounts with money, one account for each entry of NARROW, and RESTRICTED."""
    restricted = [{"symbol": symbols["XSHG"][0], "security_exchange": "XSHG", "sides": ["BUY"]}]
    accounts = [{"id": name, "cash_yuan": 1_000_000_000} for name in FRONTS]
    accounts += [{"id": name, "cash_yuan": 10_000_000} | change for name, change in NARROW.items()]
    accounts.append({"id": "RESTRICTED", "cash_yuan": 10_000_000, "restricted": restricted})
    accounts.append({"ids": "L0001-L0200", "cash_yuan": 1_000_000_000})
    for number, account in enumerate(accounts, 1):
        account |= {"profile": "roomy", "shareholder": {"XSHG": f"A{number:09d}", "XSHE": f"{number:010d}"}}
    return accounts


def token(name: str, accounts: list[str], **change: int) -> dict[str, Any]:
    return {
        "token_sha256": token_hash(name),
        "accounts": accounts,
        "rate_in_per_s": 100_000,
        "cancel_rate_in_per_s": 100_000,
        "reject_streak_max": 1_000_000,
        "reject_latch_ms": 5000,
    } | change
