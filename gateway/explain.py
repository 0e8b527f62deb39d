"""Why an order was decided as it was, and why an account is restricted: facts out of a journal. It judges nothing anew.

What an explanation returns is plain values, ready for JSON; gateway/explain_text.py prints them.
"""

import re
from pathlib import Path
from typing import Any

from ext import lookback
from ext.codes import ACCOUNT_TAGS, PHASES, VENUES
from ext.program_codes import EVENTS, UNITS
from ext.response import LEVEL_NAMES, MASK_BITS, SUBJECT_NAMES
from gateway.code_texts import TEXTS, code_name
from gateway.journal_day import GROUP_OWNER, NOTHING, Day, Facts, name_of, shown, when
from gateway.journal_tool import journal_files, opened
from gateway.limit_types import ACCOUNT_STATES, ORD_TYPES, SIDES
from gateway.settings import SettingError

CODE = re.compile(r"R?(\d{4})", re.IGNORECASE)
PASS, SUSPENDED = 1, 1
STAGES = {1: "warn", 2: "breach"}
SCOPE_NAMES = ("account", "group", "firm", "session", "instrument", "market", "strategy", "unit", "parent")
SCOPES = dict(enumerate(SCOPE_NAMES, 1))
KILL_SCOPES = {1: "session", 2: "account", 3: "group", 4: "firm"}
STEPS = {1: "pushed", 2: "approved", 3: "refused", 4: "in force", 5: "rolled back", 6: "expired", 12: "limits loaded"}
UNIT_NAMES = {number: name for name, number in UNITS.items()}
EVENT_NAMES = {number: name for name, number in EVENTS.items()}


# --- an order ---


def explain_order(day: Day, offset: int) -> Facts:
    """Everything about one decision. offset: of its EV_ORDER."""
    order = lookback.fields_at(day.journal, offset)
    account = day.account(order["account"], offset)
    hits = list(lookback.picked(day.journal, ("HIT",), order_no=order["order_id"]))
    facts = {
        "order": order_facts(day, order, account),
        "decision": decision_facts(day, order, account),
        "rule": day.rule(order["rule_set"], order["rule"]),
        "hits": [hit_facts(day, hit) for hit in hits],
        "quotes": quote_facts(day, order, offset),
        "levels": [level_facts(day, level) for level in standing_levels(day, order, account, offset)],
        "kills": kills_of(day, order["account"], account["group"], port=order["port"], before=offset),
        "in_force": in_force(day, order["rule_set"], offset, account),
        "ended": None,
    }
    if order["flags"] & SUSPENDED:
        facts["ended"] = release_facts(day, order)
    return facts


def order_facts(day: Day, order: Facts, account: Facts) -> Facts:
    symbol = day.instrument(order["instrument"]) or f"{order['symbol']}.{name_of(VENUES, order['venue'])}"
    return {
        "order_id": order["order_id"],
        "cl_ord_id": order["cl_ord_id"],
        "account": account["id"],
        "group": day.groups.get(account["group"], ""),
        "security": symbol,
        "side": name_of(SIDES, order["side"]),
        "ord_type": name_of(ORD_TYPES, order["ord_type"]),
        "order_qty_shares": order["order_qty_shares"],
        "price": shown(order["price_e4"], "price"),
        "time": when(order["time_ns"]),
        "time_ns": order["time_ns"],
        "phase": name_of(PHASES, order["phase"]),
        "session": order["port"],
    }


def decision_facts(day: Day, order: Facts, account: Facts) -> Facts:
    """The code with its value against its limit. A rule's value and limit are in the unit of its first comparison."""
    code, text = order["code"], TEXTS.get(order["code"])
    verdict = (
        "accepted" if code == PASS else "waits for confirmation" if order.get("flags", 0) & SUSPENDED else "rejected"
    )
    if code == PASS:
        return {"verdict": verdict, "code": "PASS"}
    unit = text.unit if text else "number"
    if order["rule"]:
        unit = rule_unit(day, order)
    scope = SCOPES.get(order["scope"], "")
    name = {"account": account["id"], "group": day.groups.get(account["group"], "")}.get(scope, "")
    return {
        "verdict": verdict,
        "code": f"R{code}",
        "name": code_name(code),
        "value": order["value"],
        "limit": order["limit"],
        "unit": unit,
        "compared": f"{shown(order['value'], unit)} against a limit of {shown(order['limit'], unit)}",
        "scope": f"{scope} {name}".strip(),
        "checks": text.checks if text else "",
        "formula": text.formula if text else "",
        "limit_from": text.limit if text else "",
    }


def rule_unit(day: Day, order: Facts) -> str:
    """The unit of the first factor of the hit that blocked the order."""
    for hit in lookback.picked(day.journal, ("HIT",), order_no=order["order_id"]):
        if hit["rule"] == order["rule"] and hit["factors"]:
            return str(UNIT_NAMES.get(hit["factors"][0]["unit"], "number"))
    factors = day.rule_sets.get(order["rule_set"], {}).get("names", {}).get("factors", [])
    return str(next((factor["unit"] for factor in factors if factor["rule"] == order["rule"]), "number"))


def comparisons(day: Day, rule_set: int, factors: list[Facts]) -> list[Facts]:
    """Each comparison of a condition with its text, value and limit."""
    names = day.rule_sets.get(rule_set, {}).get("names", {}).get("factors", [])
    found = []
    for factor in factors:
        unit = UNIT_NAMES.get(factor["unit"], "number")
        known = names[factor["factor"]] if factor["factor"] < len(names) else {"text": f"comparison {factor['factor']}"}
        compared = f"{shown(factor['value'], unit)} {known.get('op', 'against')} {shown(factor['limit'], unit)}"
        amounts = {"value": factor["value"], "limit": factor["limit"]}
        found.append(amounts | {"text": known["text"], "unit": unit, "shown": compared})
    return found


def hit_facts(day: Day, hit: Facts) -> Facts:
    """One hit: the rule, and all it compared."""
    return {
        "alert_seq": hit["hit_seq"],
        "time": when(hit["time_ns"]),
        "rule": day.rule(hit["rule_set"], hit["rule"]),
        "stage": STAGES.get(hit["stage"], ""),
        "at": EVENT_NAMES.get(hit["event"], ""),
        "enforced": hit["enforced"],
        "blocked": hit["blocked"],
        "asked_for": f"L{hit['level']} {LEVEL_NAMES[hit['level']]}",
        "comparisons": comparisons(day, hit["rule_set"], hit["factors"]),
        "security": day.instrument(hit["instrument"]),
        "order_id": hit["order_id"],
        "quote": {key: quoted(hit[f"{key}_px_e4"]) for key in ("bid", "ask", "last")},
    }


def quoted(px_e4: int) -> str:
    """A price of the market; a side where nobody quotes has none."""
    return shown(px_e4, "price") if px_e4 else "none"


def quote_facts(day: Day, order: Facts, offset: int) -> Facts:
    """The live top of book the decision saw, and the newest recorded quote: what the rules see."""
    live = {key: quoted(order[f"{key}_px_e4"]) for key in ("bid", "ask", "last")}
    recorded = (
        lookback.newest_quote(day.journal, order["instrument"], offset) if order["instrument"] != NOTHING else None
    )
    if recorded is None:
        return {"live": live, "recorded": None}
    return {
        "live": live,
        "recorded": {
            "time": when(recorded["time_ns"]),
            "age": shown(order["time_ns"] - recorded["time_ns"], "time"),
            "phase": name_of(PHASES, recorded["phase"]),
            "last": quoted(recorded["last_px_e4"]),
            "volume_shares": recorded["total_volume_shares"],
            "bids": [f"{shown(px, 'price')} x {qty:,}" for px, qty in recorded["bids"]],
            "asks": [f"{shown(px, 'price')} x {qty:,}" for px, qty in recorded["asks"]],
        },
    }


def release_facts(day: Day, order: Facts) -> Facts | None:
    """How a suspended order ended; None: it still waits."""
    for event in lookback.picked(day.journal, ("ORDER_RELEASED",), order_no=order["order_id"]):
        if event["code"] == PASS:
            how = f"confirmed by {event['by']} and accepted"
        elif not event["by"]:
            how = "expired: nobody confirmed it in time"
        else:
            how = f"refused after {event['by']} answered: {code_name(event['code'])}"
        return {
            "how": how,
            "by": event["by"],
            "time": when(event["time_ns"]),
            "code": f"R{event['code']}" if event["code"] != PASS else "PASS",
            "after": shown(event["time_ns"] - order["time_ns"], "time"),
        }
    return None


# --- levels, and who put what in force ---


def standing_levels(day: Day, order: Facts, account: Facts, offset: int) -> list[Facts]:
    """The newest level of each subject that bound this order then; what had run out or was released is left out."""
    owners = {order["account"]} | ({GROUP_OWNER | account["group"]} if account["group"] != NOTHING else set())
    newest: dict[str, Facts] = {}
    for level in day.of("LEVEL", offset):
        if binds(level, owners, order["instrument"]):
            newest[day.subject(level)] = level
    return [
        level
        for level in newest.values()
        if level["level"] and (not level["until_ns"] or level["until_ns"] > order["time_ns"])
    ]


def binds(level: Facts, owners: set[int], instrument: int | None) -> bool:
    """Whether a level is of one of these owners, or the firm; instrument None: in whatever instrument."""
    kind = SUBJECT_NAMES.get(level["subject"], "")
    if kind == "FIRM":
        return True
    if kind == "POSITION":
        return level["owner"] in owners and instrument in (None, level["instrument"])
    return (GROUP_OWNER | level["index"] if kind == "GROUP" else level["index"]) in owners


def level_facts(day: Day, level: Facts) -> Facts:
    rule = day.rule(level["rule_set"], level["rule"])
    hit = lookback.fields_at(day.journal, level["hit_offset"]) if level["hit_offset"] else None
    return {
        "subject": day.subject(level),
        "level": f"L{level['level']} {LEVEL_NAMES[level['level']]}",
        "previous": f"L{level['previous']}",
        "forbids": [name for name, bit in MASK_BITS.items() if level["mask"] & bit],
        "throttle_per_s": level["throttle_per_s"],
        "since": when(level["time_ns"]),
        "until": when(level["until_ns"]) if level["until_ns"] else "a person releases it",
        "by": level["by"] or (f"rule {rule['rule']}" if rule else "the rule itself or time"),
        "approved_by": level["approved_by"],
        "reason": level["reason"],
        "ticket": level["ticket"],
        "rule": rule,
        "hit": hit_facts(day, hit) if hit else None,
    }


def in_force(day: Day, rule_set: int, offset: int, account: Facts) -> Facts:
    """The limits file and the rule set that decided, with who put them there."""
    limits = day.of("RULES", offset)
    admin = [step for step in day.of("ADMIN", offset) if STEPS.get(step["step"]) == "limits loaded"]
    facts: Facts = {"limits": None, "rule_set": None}
    if limits:
        facts["limits"] = {
            "file": f"{limits[-1]['id']}@{limits[-1]['version']}",
            "since": when(limits[-1]["time_ns"]),
            "account_since": when(account["time_ns"]),
            **(signed(admin[-1]) if admin else {}),
        }
    if rule_set in day.rule_sets:
        frame = day.rule_sets[rule_set]
        facts["rule_set"] = {
            "number": rule_set,
            "id": frame["id"],
            "since": when(frame["time_ns"]),
            **signed(frame),
            "steps": [
                {"step": STEPS.get(step["step"], step["step"]), "time": when(step["time_ns"]), **signed(step)}
                for step in day.of("ADMIN", offset)
                if step["sha256"] == frame["sha256"]
            ],
        }
    return facts


def signed(frame: Facts) -> Facts:
    return {key: frame[key] for key in ("by", "approved_by", "reason", "sha256")}


# --- an account ---


def explain_account(day: Day, index: int) -> Facts:
    """Why an account is restricted now: its state, the levels and kills that bind it, its reviews, how it got there."""
    account = day.account(index)
    owners = {index} | ({GROUP_OWNER | account["group"]} if account["group"] != NOTHING else set())
    levels = [level for level in day.of("LEVEL") if binds(level, owners, None)]
    newest = {day.subject(level): level for level in levels}
    kills = kills_of(day, index, account["group"])
    tickets = {ticket["ticket"]: ticket for ticket in day.of("TICKET") if is_about(ticket, index, account["group"])}
    state = name_of(ACCOUNT_STATES, account["state"])
    standing = [level for level in newest.values() if level["level"]]
    return {
        "account": {
            "id": account["id"],
            "group": day.groups.get(account["group"], ""),
            "state": state,
            "tags": [name for name, bit in ACCOUNT_TAGS.items() if account["tags"] & bit],
            "settings_since": when(account["time_ns"]),
        },
        "restricted": bool(standing or kills or state != "NORMAL"),
        "levels": [level_facts(day, level) for level in standing],
        "kills": kills,
        "tickets": [
            {
                "ticket": ticket["ticket"],
                "is_open": ticket["is_open"],
                "by": ticket["by"],
                "reason": ticket["reason"],
                "time": when(ticket["time_ns"]),
            }
            for ticket in tickets.values()
        ],
        "history": [level_facts(day, level) for level in levels],
    }


def kills_of(day: Day, account: int, group: int, *, port: int = NOTHING, before: int = 0) -> list[Facts]:
    """The kills latched (before an offset) that bind an account, and the session that an order came by."""
    of = {"session": port, "account": account, "group": group, "firm": 0}
    newest = {(kill["scope"], kill["id"]): kill for kill in day.of("KILL", before)}
    return [
        kill_facts(day, kill)
        for kill in newest.values()
        if kill["killed"] and of.get(KILL_SCOPES.get(kill["scope"], ""), NOTHING) == kill["id"]
    ]


def is_about(ticket: Facts, index: int, group: int) -> bool:
    of: dict[str, int] = {"ACCOUNT": index, "GROUP": group, "FIRM": int(ticket["index"])}
    return of.get(SUBJECT_NAMES.get(ticket["subject"], ""), -1) == int(ticket["index"])


def kill_facts(day: Day, kill: Facts) -> Facts:
    """Who killed, when and why: a person's reason stands in the step journaled with it, a freeze's in its level."""
    reasons = [
        step["reason"]
        for step in day.of("ADMIN") + day.of("LEVEL")
        if step["time_ns"] == kill["time_ns"] and step["by"] == kill["by"]
    ]
    return {
        "scope": KILL_SCOPES.get(kill["scope"], ""),
        "since": when(kill["time_ns"]),
        "by": kill["by"],
        "approved_by": kill.get("approved_by", ""),
        "reason": reasons[0] if reasons else "",
    }


# --- what was asked ---


def explain_code(code: int) -> Facts:
    """What one reject code checks."""
    text = TEXTS.get(code)
    if text is None:
        raise SettingError(
            f"CODE: got R{code}, expected one of R{min(TEXTS)} to R{max(TEXTS)} that docs/ladder.md names"
        )
    return {
        "code": {
            "name": code_name(code),
            "checks": text.checks,
            "formula": text.formula,
            "limit_from": text.limit,
            "unit": text.unit,
        }
    }


def explain(asked: str, journal: Path, account: str = "") -> Facts:
    """A code (R1301), an order (its order_id, account:cl_ord_id, or with `account` its cl_ord_id) or an account.

    journal: a file, or a directory, whose newest day is read. Raises SettingError when nothing has that name.
    """
    code = CODE.fullmatch(asked)
    if code and not account and (asked[0] in "Rr" or int(code[1]) in TEXTS):
        return explain_code(int(code[1]))
    path = journal_files(journal)[-1]
    with opened(path) as file:
        if not account and ":" in asked:
            account, asked = asked.split(":", 1)
        if account:
            return explain_order(Day(file), find_named(file, path, account, asked))
        if asked.isdecimal():
            offset = lookback.find_order(file, order_no=int(asked)) if 0 < int(asked) < NOTHING else 0
            if offset:
                return explain_order(Day(file), offset)
        index = lookback.find_account(file, asked)
        if index is None:
            raise SettingError(
                f"CODE|ORDER: got {asked!r}, expected a code (R1301), an order_id, account:cl_ord_id or an account"
                f" that is in {path}"
            )
        return explain_account(Day(file), index)


def find_named(file: Any, path: Path, account: str, cl_ord_id: str) -> int:
    """Offset of an account's order by its cl_ord_id."""
    index = lookback.find_account(file, account)
    if index is None:
        raise SettingError(f"ORDER: no account {account!r} in {path}")
    offset: int = lookback.find_order(file, account=index, cl_ord_id=cl_ord_id)
    if not offset:
        raise SettingError(f"ORDER: account {account!r} has no order {cl_ord_id!r} in {path}")
    return offset
