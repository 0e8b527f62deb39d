"""The engine's state as control tells it: plain values under the names of control.proto. Changes nothing by itself.

Names of rules are left as numbers here: the control process resolves them, the shard's thread has orders to judge.
"""

from typing import Any

from ext import oversight, queries, surveillance
from ext.codes import VENUES

NO_INSTRUMENT = 0xFFFFFFFF
GROUP_OWNER = 0x80000000
SUBJECTS = {"account": 1, "group": 2, "firm": 3, "position": 4}  # events.Subject
VENUE_NAMES = {number: name for name, number in VENUES.items()}
SIDES = {1: "BUY", 2: "SELL"}
STAGE_NAMES = {1: "warn", 2: "breach"}
STEP_NAMES = {number: name for name, number in oversight.STEPS.items()}

KEPT = {  # fields of an alert that go out as they are
    "alert_seq",
    "time_ns",
    "caused_ns",
    "account",
    "group",
    "symbol",
    "rule",
    "rule_set",
    "level",
    "enforced",
    "blocked",
    "factors",
    "bid_px_e4",
    "ask_px_e4",
    "last_px_e4",
    "by",
    "approved_by",
    "reason",
    "ticket",
    "until_ns",
    "is_open",
}

put_in_force = surveillance.put_in_force
drop_retired = surveillance.drop_retired


def rule_set(engine: Any, number: int = 0) -> dict[str, Any]:
    """{number, id, sha256, by, approved_by, reason, time_ns, program} of the rule set in force, or another of today.

    Empty when there is none.
    """
    found: dict[str, Any] = surveillance.rule_set(engine, number)
    return found if found["number"] else {}


def rule_set_number(engine: Any) -> int:
    """Number of the rule set in force, 0: none; cheap, and callable from any thread."""
    return int(oversight.rule_set_number(engine))


def named(row: dict[str, Any]) -> dict[str, Any]:
    """A row of queries with scope and id in place of subject, account and group; exchanges by name."""
    scope = "group" if "group" in row else "account" if "account" in row else "firm"
    kept = {
        key: value for key, value in row.items() if key not in ("subject", "account", "group", "name", "hit_offset")
    }
    if "security_exchange" in kept:
        kept["security_exchange"] = VENUE_NAMES.get(kept["security_exchange"], "")
    return kept | {"scope": scope, "id": row.get("group") or row.get("account") or ""}


def levels(engine: Any) -> list[dict[str, Any]]:
    """Whom a level or a kill binds."""
    rows = [named(row) for row in queries.levels(engine)]
    known = {(row["scope"], row["id"]): row for row in rows if not row.get("symbol")}
    for scope, name in oversight.kills(engine):
        known_row = known.get((scope, name))
        if known_row is None:
            rows.append({"scope": scope, "id": name, "level": 0, "killed": True})
        else:
            known_row["killed"] = True
    return rows


def tickets(engine: Any) -> list[dict[str, Any]]:
    return [named(row) for row in queries.tickets(engine)]


def suspended_orders(engine: Any) -> list[dict[str, Any]]:
    rows = []
    for row in queries.suspended_orders(engine):
        kept = {
            key: row[key]
            for key in (
                "order_id",
                "account",
                "cl_ord_id",
                "symbol",
                "order_qty_shares",
                "price_e4",
                "value",
                "limit",
                "confirm_by_ns",
            )
        }
        rows.append(
            kept
            | {
                "security_exchange": VENUE_NAMES.get(row["security_exchange"], ""),
                "side": SIDES.get(row["side"], ""),
                "code": oversight.code_text(row["code"]),
                "time_ns": row["since_ns"],
            }
        )
    return rows


def account(engine: Any, index: int) -> dict[str, Any]:
    """What GetAccountState tells: what the account has, what binds it, what it may still use."""
    view = queries.account_view(engine, index)
    group = oversight.group_of(engine, index)
    group_id = "" if group is None else oversight.group_id(engine, group)
    scopes = {("firm", ""), ("account", view["account"]), *([("group", group_id)] if group_id else [])}
    positions = [
        row | {"security_exchange": VENUE_NAMES.get(row["security_exchange"], "")} for row in view["positions"]
    ]
    kept = {
        key: view[key] for key in ("account", "state", "cash_e4", "cash_held_e4", "cash_available_e4", "open_orders")
    }
    return kept | {
        "group": group_id,
        "killed": oversight.is_killed(engine, oversight.KILL_SCOPES["account"], index),
        "levels": [row for row in levels(engine) if (row["scope"], row["id"]) in scopes],
        "limits": [dict(zip(("code", "scope", "used", "limit", "unit"), row, strict=True)) for row in view["limits"]],
        "positions": positions,
    }


def order(engine: Any, number: int) -> dict[str, Any]:
    """One order's decision, and the hits that were recorded with it."""
    hits = [alert for seq in oversight.hits_of(engine, number) for alert in alerts(engine, seq - 1, 1)]
    decided: dict[str, Any] = oversight.order_decision(engine, number)
    return decided | {"hits": hits}


def sizes(engine: Any) -> dict[str, Any]:
    counted = queries.counts(engine)
    return {
        "trade_date": engine.state.trade_date,
        "shard": engine.state.shard,
        "newest_alert_seq": newest_alert(engine),
        "restricted": len(levels(engine)),
        "suspended_orders": len(queries.suspended_orders(engine)),
        "open_tickets": sum(row["is_open"] for row in queries.tickets(engine)),
        "firm_killed": oversight.is_killed(engine, oversight.KILL_SCOPES["firm"], 0),
        **{key: counted[key] for key in ("accounts", "orders", "open_orders")},
    }


def newest_alert(engine: Any) -> int:
    """alert_seq of the newest alert, 0: none today."""
    return int(surveillance.alert_count(engine))


def alerts(engine: Any, after_seq: int, most: int) -> list[dict[str, Any]]:
    """Alerts after after_seq, oldest first, at most `most`, without a gap."""
    return [shown(engine, row) for row in surveillance.alerts(engine, after_seq, most)]


def shown(engine: Any, row: dict[str, Any]) -> dict[str, Any]:
    """One alert of the core under the names of control.proto; what the core knows by number alone stays a number."""
    kept = {key: value for key, value in row.items() if key in KEPT and value not in ("", 0, NO_INSTRUMENT)}
    kept |= {
        "kind": row["type"],
        "previous_level": row.get("previous", 0),
        "order_id": row.get("order_id", 0),
        "step": STEP_NAMES.get(row.get("step", 0), ""),
        "stage": STAGE_NAMES.get(row.get("stage", 0), ""),
        "side": SIDES.get(row.get("side", 0), ""),
        "security_exchange": VENUE_NAMES.get(row.get("venue", 0), ""),
    }
    if row["type"] in ("LEVEL", "TICKET"):
        kept |= subject_names(engine, row)
    return kept


def subject_names(engine: Any, row: dict[str, Any]) -> dict[str, str]:
    """Whom a level or a review concerns; of the firm nothing."""
    names: dict[str, str] = {}
    if row["subject"] == SUBJECTS["account"]:
        names["account"] = oversight.account_id(engine, row["index"])
    elif row["subject"] == SUBJECTS["group"]:
        names["group"] = oversight.group_id(engine, row["index"])
    elif row["subject"] == SUBJECTS["position"]:
        names |= oversight.position_names(engine, row["index"])
    return names


def code_name(code: int) -> str:
    """R1604; empty for PASS."""
    text = str(oversight.code_text(code))
    return "" if text == "PASS" else text.split()[0]


def owner_of(scope: str, index: int) -> int:
    """Owner of a position record."""
    return GROUP_OWNER | index if scope == "group" else index
