"""Which rules a day begins with: the newest that were approved, else those of --rules. It approves nothing."""

from pathlib import Path
from typing import Any

from ext import oversight
from ext.clock import utc_now_ns
from ext.program import names
from gateway import engine_views
from gateway.rule_compiler import Compiler, sources_in
from gateway.rule_store import Entry, RuleStore, StoreError
from gateway.settings import SettingError

STORE = "rules"  # folder beside the journals
START = "start"  # who puts the first rules in force


def begin_rules(engine: Any, journal: Path, rules: Path | None, trade_date: int, log: Any) -> None:
    """Put the day's rules in force unless its journal has some. journal: the journals' folder; rules: that of --rules.

    Raises SettingError when rules cannot be used: a gateway that should have rules does not start without them.
    """
    try:
        store = RuleStore(journal / STORE)
        newest = store.newest()
        offered = sources_in(rules) if rules is not None else {}
        compiler = Compiler(trade_date)
        in_force = engine_views.rule_set(engine)
        if not in_force and newest is not None:
            in_force = put_approved(engine, store, newest, compiler)
        elif not in_force and offered:
            in_force = put_offered(engine, store, offered, compiler, trade_date)
    except StoreError as error:
        raise SettingError(f"--rules: {error}") from None
    if rules is not None and not offered:
        raise SettingError(f"--rules: got '{rules}', expected a folder with rule files")
    if in_force:
        log(
            "rules_in_force", number=in_force["number"], id=in_force["id"], sha256=in_force["sha256"], by=in_force["by"]
        )
    else:
        log("no_rules_in_force", reason="none approved, none in --rules: limits and the ladder alone decide")
    if offered and compiler.compile(offered).sha256 != in_force["sha256"]:
        log("rules_offered_not_in_force", folder=str(rules), reason="others were approved; push these to change that")


def rules_in_words(engine: Any) -> str | None:
    """`cn-equity@1, 53 rules, sha256 5f0c...`, all of its digits; None: no rules are in force."""
    now = engine_views.rule_set(engine)
    if not now:
        return None
    known = names(now["program"])
    return f"{now['id']}@{known['rule_set']['version']}, {len(known['rules'])} rules, sha256 {now['sha256']}"


def put_approved(engine: Any, store: RuleStore, newest: Entry, compiler: Compiler) -> dict[str, Any]:
    """The rules approved last, with those of their rules that are valid today."""
    rule_set = compiler.compile(store.load(newest.sha256))
    if rule_set.sha256 != newest.sha256:
        raise StoreError(f"{store.folder}/{newest.sha256}.yaml: its SHA-256 is {rule_set.sha256}: it was changed")
    put(engine, rule_set, newest.by, newest.approved_by, newest.reason)
    return engine_views.rule_set(engine)


def put_offered(
    engine: Any, store: RuleStore, sources: dict[str, str], compiler: Compiler, trade_date: int
) -> dict[str, Any]:
    """The first rules there ever were: nobody has approved others."""
    rule_set = compiler.compile(sources)
    store.save(rule_set.sha256, sources)
    put(engine, rule_set, START, "", "first rules, from --rules")
    store.append(
        Entry(
            time_ns=utc_now_ns(),
            step="in_force",
            by=START,
            sha256=rule_set.sha256,
            rule_set_id=rule_set.id,
            rule_set_version=rule_set.version,
            number=1,
            trade_date=trade_date,
            reason="first rules, from --rules",
        )
    )
    return engine_views.rule_set(engine)


def put(engine: Any, rule_set: Any, by: str, approved_by: str, reason: str) -> None:
    now_ns = utc_now_ns()
    digest = bytes.fromhex(rule_set.sha256)
    number = engine_views.put_in_force(
        engine,
        rule_set.program,
        id=rule_set.id,
        sha256=digest,
        by=by,
        approved_by=approved_by,
        reason=reason,
        now_ns=now_ns,
    )
    oversight.record_step(
        engine,
        "in_force",
        number=number,
        sha256=digest,
        by=by,
        approved_by=approved_by,
        reason="at the start of the day",
        now_ns=now_ns,
    )
