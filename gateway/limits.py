"""Loads the limits file: accounts, groups, the firm, boards, sessions, all as integers; docs/limits.md describes it.

It never fills in a credit limit that is not there: a missing limit is an error, not "unlimited".
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import yaml

from ext.codes import ACCOUNT_TAGS, BOARDS, VENUES
from gateway.holdings import locates_of, positions_of
from gateway.limit_types import (
    ACCOUNT_STATES,
    C1_LOWEST,
    COLLAR_PHASES,
    LOSS_ACTIONS,
    ORD_TYPES,
    PROFESSIONAL,
    RISK_LEVELS,
    SIDES,
    Account,
    AccountLimits,
    BoardRules,
    Collar,
    Collars,
    Fees,
    Firm,
    Group,
    Limits,
    MarketData,
    Restriction,
    RuleSet,
    Strategy,
    Token,
    Unit,
)
from risk_rules.marked import (
    REQUIRED,
    SHARES_LIMIT,
    SYMBOL,
    YUAN_BALANCE,
    YUAN_LIMIT,
    Document,
    Faults,
    Field,
    Reader,
    bits_of,
    choice,
    collector_paused,
    integer,
    line_of,
    mask_of,
    matching,
    quoted,
    read_text,
    scaled,
    struct_of,
    tuple_of,
)

# --- the fields of each mapping ---

COUNT = integer(1, 10**9)
NAME = matching(r"[A-Za-z0-9_.\-]{1,16}", "1 to 16 letters, digits, dots, dashes or underscores")
RATE_PCT = scaled(5, 0, 10**6, "a percentage from 0 to 10 with at most 5 decimals")
BPS = integer(1, 10_000, "basis points")
TICKS = integer(0, 100_000, "ticks")
SHARE_PCT = scaled(2, 1, 10**6, "a percentage above 0, at most 10000, with at most 2 decimals")
FLAG = choice({"false": 0, "true": 1})
VENUE = choice(VENUES)
RANGE = matching(r"([A-Za-z_.]*)([0-9]+)-\1([0-9]+)", "a range like LT000001-LT004000")
PATTERN = matching(r"[A-Za-z0-9_.\-]{0,16}\*?", "an account id, or the start of ids and *")
SHAREHOLDER = matching(r"[A-Z0-9][0-9]{9}", "ten digits, or a capital letter and nine digits")

RULE_SET = {"id": Field("id", matching(r"[A-Za-z0-9_.\-]{1,32}", "1 to 32 letters, digits, dots or dashes")),
            "version": Field("version", COUNT)}
FEES = {
    "commission_rate_pct": Field("commission_rate_e7", RATE_PCT),
    "commission_min_yuan": Field("commission_min_e4", YUAN_BALANCE),
    "transfer_rate_pct": Field("transfer_rate_e7", RATE_PCT),
    "handling_rate_pct": Field("handling_rate_e7", RATE_PCT),
    "regulatory_rate_pct": Field("regulatory_rate_e7", RATE_PCT),
    "stamp_rate_pct": Field("stamp_rate_e7", RATE_PCT),
}
BOARD = {
    "buy_min_shares": Field("buy_min_shares", SHARES_LIMIT),
    "step_shares": Field("step_shares", SHARES_LIMIT),
    "odd_lot_shares": Field("odd_lot_shares", SHARES_LIMIT),
    "max_limit_shares": Field("max_limit_shares", SHARES_LIMIT),
    "max_market_shares": Field("max_market_shares", SHARES_LIMIT),
    "cage_bps": Field("cage_bps", BPS),
    "cage_ticks": Field("cage_ticks", TICKS),
    "ord_types": Field("ord_type_mask", mask_of(ORD_TYPES)),
}
COLLAR = {"bps": Field("bps", BPS), "ticks": Field("ticks", TICKS)}
CREDIT = {
    "gross_limit_yuan": Field("gross_limit_e4", YUAN_LIMIT),
    "long_limit_yuan": Field("long_limit_e4", YUAN_LIMIT),
    "short_limit_yuan": Field("short_limit_e4", YUAN_LIMIT),
}
TURNOVER = {
    "order_value_per_day_yuan": Field("order_value_per_day_e4", YUAN_LIMIT, 0),
    "traded_value_per_day_yuan": Field("traded_value_per_day_e4", YUAN_LIMIT, 0),
}
LOSS = {
    "loss_limit_yuan": Field("loss_limit_e4", YUAN_LIMIT, 0),
    "loss_action": Field("loss_action", choice(LOSS_ACTIONS), LOSS_ACTIONS["SELL_ONLY"]),
}
FIRM = {**CREDIT, "capital_limit_yuan": Field("capital_limit_e4", YUAN_LIMIT), **TURNOVER, **LOSS}
GROUP = {"id": Field("id", NAME), **CREDIT, **TURNOVER}
STRATEGY = {
    "id": Field("id", NAME),
    "gross_limit_yuan": CREDIT["gross_limit_yuan"],
    "raet_max": Field("raet_max", COUNT, 0),
    "raet_window_s": Field("raet_window_s", integer(1, 86_400, "seconds"), 60),
    "reject_streak_max": Field("reject_streak_max", COUNT, 0),
    **LOSS,
}
UNIT = {"id": Field("id", NAME), "net_buy_quota_yuan": Field("net_buy_quota_e4", YUAN_LIMIT)}
RESTRICTION = {
    "symbol": Field("symbol", SYMBOL),
    "security_exchange": Field("venue", VENUE),
    "sides": Field("side_mask", mask_of(SIDES)),
}
PROFILE = {
    "max_qty_shares": Field("max_qty_shares", SHARES_LIMIT),
    "max_ntl_yuan": Field("max_ntl_e4", YUAN_LIMIT),
    **CREDIT,
    "position_limit_shares": Field("position_limit_shares", SHARES_LIMIT),
    "open_orders": Field("open_orders", COUNT),
    "open_orders_per_symbol": Field("open_orders_per_symbol", COUNT),
    "rate_out_per_s": Field("rate_out_per_s", COUNT),
    "rate_out_per_day": Field("rate_out_per_day", COUNT),
    "rate_symbol_per_s": Field("rate_symbol_per_s", COUNT),
    "dup_window_ms": Field("dup_window_ms", COUNT),
    "dup_max": Field("dup_max", COUNT),
    "boards": Field("board_mask", mask_of(BOARDS)),
    "ord_types": Field("ord_type_mask", mask_of(ORD_TYPES)),
    "restricted": Field("restricted", tuple_of(Restriction, RESTRICTION), ()),
    "max_adv_pct": Field("max_adv_bps", SHARE_PCT, 0),
    "max_float_pct": Field("max_float_bps", SHARE_PCT, 0),
    "price_window_pct": Field("price_window_bps", SHARE_PCT, 0),
    "price_window_ms": Field("price_window_ms", COUNT, 0),
    "price_window_ntl_yuan": Field("price_window_ntl_e4", YUAN_LIMIT, 0),
    "instrument_long_limit_yuan": Field("instrument_long_limit_e4", YUAN_LIMIT, 0),
    "instrument_short_limit_yuan": Field("instrument_short_limit_e4", YUAN_LIMIT, 0),
    "position_float_pct": Field("position_float_bps", SHARE_PCT, 0),
    "concentration_pct": Field("concentration_bps", SHARE_PCT, 0),
    **TURNOVER,
    **LOSS,
    "basket_max_ntl_yuan": Field("basket_max_ntl_e4", YUAN_LIMIT, 0),
    "basket_max_lines": Field("basket_max_lines", COUNT, 0),
    "basket_max_gross_pct": Field("basket_max_gross_bps", SHARE_PCT, 0),
    "soft_ntl_yuan": Field("soft_ntl_e4", YUAN_LIMIT, 0),
    "soft_qty_shares": Field("soft_qty_shares", SHARES_LIMIT, 0),
    "confirm_ttl_ms": Field("confirm_ttl_ms", COUNT, 0),
}
PRICE_WINDOW = ("price_window_pct", "price_window_ms", "price_window_ntl_yuan")
SHAREHOLDERS = {name: Field(name, SHAREHOLDER) for name in VENUES}
ACCOUNT = {
    "id": Field("id", NAME, None),
    "ids": Field("ids", RANGE, None),
    "profile": Field("profile", NAME),
    "group": Field("group", NAME, None),
    "shareholder": Field("shareholder", lambda document, node, field: document.complete(node, field, SHAREHOLDERS)),
    "owner_type": Field("owner_type", choice({"1": 1, "103": 103, "104": 104}), 1),
    "cash_yuan": Field("cash_e4", YUAN_BALANCE),
    "state": Field("state", choice(ACCOUNT_STATES), ACCOUNT_STATES["NORMAL"]),
    "risk_level": Field("risk_level", choice(RISK_LEVELS), RISK_LEVELS["C5"]),
    "c1_lowest": Field("c1_lowest", FLAG, 0),
    "professional": Field("professional", FLAG, 0),
    "unit": Field("unit", NAME, None),
    "tags": Field("tags", bits_of(ACCOUNT_TAGS), 0),
}
TOKEN = {
    "token_sha256": Field("token_sha256", matching(r"[0-9a-f]{64}", "64 lower-case hexadecimal digits")),
    "accounts": Field("accounts", lambda document, node, field: document.items(node, field)),
    "rate_in_per_s": Field("rate_in_per_s", COUNT),
    "cancel_rate_in_per_s": Field("cancel_rate_in_per_s", COUNT),
    "reject_streak_max": Field("reject_streak_max", COUNT),
    "reject_latch_ms": Field("reject_latch_ms", COUNT),
    "programme": Field("programme", choice({"true": True, "false": False}), False),
}


def later(document: Document, node: yaml.Node, field: str) -> yaml.Node:
    """Keeps a section as it is: it names things of other sections, which are read first."""
    return node


def boards_of(document: Document, node: yaml.Node, field: str) -> dict[int, BoardRules]:
    table = {name: Field(name, struct_of(BoardRules, BOARD)) for name in BOARDS}
    return {BOARDS[name]: rules for name, rules in document.complete(node, field, table).items() if rules}


def named(kind: type[Any], table: dict[str, Field], what: str) -> Reader:
    """A list of structs with ids, no two alike."""

    def read(document: Document, node: yaml.Node, field: str) -> tuple[Any, ...]:
        found: dict[str, Any] = {}
        for at, item in enumerate(document.items(node, field)):
            struct = document.struct(kind, item, f"{field}[{at}]", table)
            if struct and struct.id in found:
                expected = f"an id that no other {what} has"
                document.faults.add(line_of(item), f"{field}[{at}].id", quoted(struct.id), expected)
            elif struct:
                found[struct.id] = struct
        return tuple(found.values())

    return read


def profiles_of(document: Document, node: yaml.Node, field: str) -> dict[str, dict[str, Any]]:
    return {name: document.fields(value, f"{field}.{name}", PROFILE) for name, _, value in document.pairs(node, field)}


FILE = {
    "schema": Field("schema", choice({"1": 1})),
    "rule_set": Field("rule_set", struct_of(RuleSet, RULE_SET)),
    "fees": Field("fees", struct_of(Fees, FEES)),
    "boards": Field("boards", boards_of),
    "collars": Field("collars", struct_of(Collars, {name: Field(name.lower(), struct_of(Collar, COLLAR))
                                                    for name in COLLAR_PHASES})),
    "market_data": Field("market_data", struct_of(MarketData, {"max_age_ms": Field("max_age_ms", COUNT)})),
    "firm": Field("firm", struct_of(Firm, FIRM)),
    "groups": Field("groups", named(Group, GROUP, "group"), ()),
    "strategies": Field("strategies", named(Strategy, STRATEGY, "strategy"), ()),
    "units": Field("units", named(Unit, UNIT, "trading unit"), ()),
    "profiles": Field("profiles", profiles_of),
    "accounts": Field("accounts", later),
    "positions": Field("positions", later, None),
    "positions_file": Field("positions_file", matching(r".+", "the path of a CSV file"), None),
    "locates": Field("locates", later, None),
    "tokens": Field("tokens", later),
}


@collector_paused()
def load_limits(path: str | Path) -> Limits:
    """Reads and validates one limits file; raises ConfigError with every fault it found."""
    path = Path(path)
    text = read_text(path)
    document = Document(path, text)
    found = document.complete(document.root, "", FILE)
    reader = AccountReader(document, found["profiles"] or {}, found["groups"], found["units"])
    accounts, index = reader.read(found["accounts"]), reader.index
    digest = hashlib.sha256(text.encode())
    found["positions"] = positions_of(document, found, index, digest)
    found["locates"] = locates_of(document, found["locates"], index)
    found |= {"path": str(path), "sha256": digest.hexdigest(), "accounts": accounts}
    found["tokens"] = tokens_of(document, found["tokens"], index)
    document.faults.raise_any()
    return Limits(**{name: found[name] for name in Limits.__struct_fields__})


class AccountReader:
    """Turns the entries of `accounts` into accounts: profiles applied, ranges numbered out, ids told apart."""

    def __init__(self, document: Document, profiles: dict[str, dict[str, Any]], groups: tuple[Group, ...],
                 units: tuple[Unit, ...]) -> None:
        self.document = document
        self.profiles = profiles
        self.groups = {group.id: at for at, group in enumerate(groups)}
        self.units = {unit.id: at for at, unit in enumerate(units)}
        self.shared: dict[str, AccountLimits | None] = {}
        self.seen: dict[str, int] = {}
        self.index: dict[str, int] = {}  # id: its place, -1 for one whose entry has a fault

    def read(self, node: yaml.Node | None) -> tuple[Account, ...]:
        accounts: list[Account] = []
        if node is None:
            return ()
        table = {**ACCOUNT, **{key: Field(field.out, field.read, None) for key, field in PROFILE.items()}}
        for at, item in enumerate(self.document.items(node, "accounts")):
            faults_before = len(self.document.faults.found)
            field = f"accounts[{at}]"
            found = self.document.complete(item, field, table)
            ids = self.ids_of(line_of(item), field, found)
            self.index.update(dict.fromkeys(ids, -1))
            if len(self.document.faults.found) == faults_before:
                accounts += self.accounts_of(item, field, found, ids)
        self.index.update((account.id, at) for at, account in enumerate(accounts))
        if not accounts and not self.document.faults.found:
            self.document.fault(node, "accounts", "at least one account")
        return tuple(accounts)

    def ids_of(self, line: int, field: str, found: dict[str, Any]) -> list[str]:
        """The id of an entry, or its many `ids`."""
        if found["id"] and not found["ids"]:
            return [found["id"]]
        if found["ids"] and not found["id"]:
            return self.numbered(line, field, found["ids"])
        self.document.faults.add(line, field, "both id and ids" if found["id"] else "neither id nor ids", "one of them")
        return []

    def accounts_of(self, node: yaml.Node, field: str, found: dict[str, Any], ids: list[str]) -> list[Account]:
        """The accounts of one entry; none after a fault."""
        faults, line = self.document.faults, line_of(node)
        if found["profile"] not in self.profiles:
            faults.add(line, f"{field}.profile", quoted(found["profile"]), "the name of a profile",
                       found["profile"], self.profiles)
            return []
        for key, known, what in (("group", self.groups, "a group"), ("unit", self.units, "a trading unit")):
            if found[key] is not None and found[key] not in known:
                faults.add(line, f"{field}.{key}", quoted(found[key]), f"the id of {what}", found[key], known)
                return []
        traits = traits_of(faults, line, field, found)
        limits = self.limits_of(line, field, found)
        if limits is None or not self.all_new(line, field, ids, found["shareholder"]):
            return []
        return [
            Account(account_id, found["profile"], self.groups.get(found["group"], -1),
                    counted_on(found["shareholder"]["XSHG"], step), counted_on(found["shareholder"]["XSHE"], step),
                    found["owner_type"], found["cash_e4"], found["state"], limits, traits,
                    self.units.get(found["unit"], -1), found["tags"])
            for step, account_id in enumerate(ids)
        ]

    def limits_of(self, line: int, field: str, found: dict[str, Any]) -> AccountLimits | None:
        """The profile's limits with this entry's overrides; a limit that neither has is a fault."""
        overrides = {entry.out: found[entry.out] for entry in PROFILE.values() if found[entry.out] is not None}
        profile = found["profile"]
        if not overrides and profile in self.shared:
            return self.shared[profile]
        merged = {"restricted": (), **self.profiles[profile], **overrides}
        missing = [key for key, entry in PROFILE.items() if merged.get(entry.out) is None and entry.default is REQUIRED]
        for key in missing:
            self.document.faults.add(line, f"{field}.{key}", "nothing", f"a value here or in profiles.{profile}")
        given = [key for key in PRICE_WINDOW if merged.get(PROFILE[key].out)]
        if given and len(given) < len(PRICE_WINDOW):
            expected = f"all of {', '.join(PRICE_WINDOW)}, or none"
            self.document.faults.add(line, f"{field}.{given[0]}", "it without the others", expected)
            missing = given
        limits = None if missing or None in merged.values() else AccountLimits(**merged)
        if not overrides:
            self.shared[profile] = limits
        return limits

    def numbered(self, line: int, field: str, text: str) -> list[str]:
        """LT0001-LT0003 -> LT0001, LT0002, LT0003."""
        first, last = text.split("-")
        prefix = first.rstrip("0123456789")
        digits, end = first[len(prefix):], last[len(prefix):]
        count = int(end) - int(digits) + 1
        if len(digits) != len(end) or not 1 <= count <= 1_000_000 or len(first) > 16:
            faults_text = "a range like LT000001-LT004000: same width, going up, at most 1 000 000 ids of 16 characters"
            self.document.faults.add(line, f"{field}.ids", quoted(text), faults_text)
            return []
        return [f"{prefix}{number:0{len(digits)}}" for number in range(int(digits), int(end) + 1)]

    def all_new(self, line: int, field: str, ids: list[str], shareholder: dict[str, str]) -> bool:
        """Notes a fault when an id or a shareholder account is taken already."""
        names = [("id", account_id) for account_id in ids]
        for venue, first in shareholder.items():
            names += [(f"shareholder.{venue}", counted_on(first, step)) for step in range(len(ids))]
        for key, name in names:
            taken = f"{key} {name}"
            if taken in self.seen:
                self.document.faults.add(line, f"{field}.{key}", quoted(name),
                                         f"one that is not taken (line {self.seen[taken]} has it)")
                return False
            self.seen[taken] = line
        return True


def traits_of(faults: Faults, line: int, field: str, found: dict[str, Any]) -> int:
    """How suitable risky instruments are for the account (R1007), as Account.traits."""
    if found["c1_lowest"] and found["risk_level"] != RISK_LEVELS["C1"]:
        faults.add(line, f"{field}.c1_lowest", "true", "it with risk_level C1 only")
    below = RISK_LEVELS["C5"] - found["risk_level"]
    return int(below | C1_LOWEST * found["c1_lowest"] | PROFESSIONAL * found["professional"])


def counted_on(shareholder: str, step: int) -> str:
    """The shareholder account `step` numbers after this one."""
    prefix = shareholder[:1] if shareholder[0].isalpha() else ""
    width = len(shareholder) - len(prefix)
    return f"{prefix}{(int(shareholder[len(prefix):]) + step) % 10**width:0{width}}"


def tokens_of(document: Document, node: yaml.Node | None, index: dict[str, int]) -> tuple[Token, ...]:
    if node is None:
        return ()
    tokens: dict[str, Token] = {}
    for at, item in enumerate(document.items(node, "tokens")):
        faults_before = len(document.faults.found)
        field = f"tokens[{at}]"
        found = document.complete(item, field, TOKEN)
        if found["accounts"] is None or len(document.faults.found) > faults_before:
            continue
        patterns = found.pop("accounts")
        indexes = {at for pattern in patterns for at in accounts_named(document, pattern, f"{field}.accounts", index)}
        if found["token_sha256"] in tokens:
            document.fault(item, f"{field}.token_sha256", "a token that no other entry has")
            continue
        tokens[found["token_sha256"]] = Token(account_indexes=tuple(sorted(indexes)), **found)
    return tuple(tokens.values())


def accounts_named(document: Document, node: yaml.Node, field: str, index: dict[str, int]) -> list[int]:
    """The accounts of one pattern: an id, or the start of ids and a `*`."""
    pattern = document.value(node, field, PATTERN)
    if pattern is None:
        return []
    if not pattern.endswith("*"):
        found = [index[pattern]] if pattern in index else []
    else:
        start = re.compile(re.escape(pattern[:-1]))
        found = [at for account_id, at in index.items() if start.match(account_id)]
    if not found and index:
        document.fault(node, field, "the id of an account, or the start of some", tuple(index))
    return found
