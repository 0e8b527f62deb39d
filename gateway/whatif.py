"""What other rules would have done on a recorded day: hits, orders stopped or let through, who would be restricted.

The judging is ext/whatif's; here the files are opened, the slices run, and the findings named. It prints nothing.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ext import lookback, whatif
from ext.journal import Journal
from ext.response import LEVEL_NAMES
from gateway.explain import comparisons
from gateway.journal_day import Day, Facts, name_of, shown, when
from gateway.journal_tool import journal_files, opened
from gateway.limit_types import SIDES
from gateway.settings import SettingError
from risk_rules.load import load_rules, rule_files

Progress = Callable[[int, int], None]  # frames adopted, frames in all

SLICE = 50_000  # frames between two looks at the clock
MOST_SCRATCH = 1 << 34
FIRST_SHOWN = 100  # differences of one kind that are kept with their factors
RuleKey = tuple[int, int]  # rule set, rule


def replay_rules(
    path: Path, rules: Sequence[Path], *, day: date | None = None, progress: Progress | None = None
) -> Facts:
    """A recorded day under these rule files; none: under the rule sets it was traded under, which must change nothing.

    path: a journal file, or a directory, whose newest is taken. day: whose rules are valid; None: the journal's. Raises
    SettingError for a journal that cannot be used, ConfigError for wrong rules.
    """
    file = journal_files(path)[-1]
    with opened(file) as journal:
        size = measured(journal, file)
        program = candidate(rules, day_of(size["trade_date"]), day)
        if not rules and not size["rule_sets"]:
            raise SettingError(f"{file}: no rule set was in force in it; --rules says which to try")
        with tempfile.TemporaryFile() as room:
            scratch = Journal(room.fileno(), 0, "scratch journal", capacity=MOST_SCRATCH)
            rehearsal = whatif.Rehearsal(whatif.state_for(size), scratch, journal, size, program, kept=FIRST_SHOWN)
            took_ns = run(rehearsal, size["frames"], progress)
            return findings(rehearsal, journal, scratch) | {
                "journal": str(file), "trade_date": size["trade_date"], "frames": size["frames"],
                "rules": [str(rule) for rule in rules] or "as recorded",
                "seconds": took_ns / 1e9, "events_per_s": round(size["frames"] * 1e9 / max(took_ns, 1)),
            }


def measured(journal: Any, file: Path) -> Facts:
    try:
        size: Facts = whatif.measure(journal)
    except ValueError as error:
        raise SettingError(str(error)) from None
    if not size["trade_date"]:
        raise SettingError(f"{file}: it does not begin with a trading day")
    return size


def day_of(trade_date: int) -> date:
    return date(trade_date // 10_000, trade_date // 100 % 100, trade_date % 100)


def candidate(rules: Sequence[Path], traded: date, day: date | None) -> bytes:
    """The compiled program of the files, with the rules valid on the traded day or on `day`; nothing without files."""
    if not rules:
        return b""
    program = load_rules([file for path in rules for file in rule_files(path)], day=day or traded).program
    return program if day in (None, traded) else whatif.without_validity(program)


def run(rehearsal: Any, frames: int, progress: Progress | None) -> int:
    """All of the day, slice by slice; how many ns it took."""
    begin_ns = time.monotonic_ns()
    while rehearsal.step(SLICE):
        if progress:
            progress(rehearsal.frames, frames)
    if progress:
        progress(frames, frames)
    return time.monotonic_ns() - begin_ns


# --- what was found ---


def findings(rehearsal: Any, journal: Any, scratch: Any) -> Facts:
    """Hits and stopped orders by rule, then and now; what is different; who would have reached a level."""
    live, tried = Day(journal), Day(scratch)
    hits, hits_live = hit_counts(scratch), hit_counts(journal)
    names: dict[str, str] = {}
    rows: dict[str, Counter[str]] = {}
    for day, counted, columns in ((tried, hits, HIT_COLUMNS), (live, hits_live, LIVE_HIT_COLUMNS)):
        for (rule_set, rule, stage), count in counted.items():
            rows.setdefault(called(day, (rule_set, rule), names), Counter())[columns[stage]] += count
    for day, blocked, column in ((tried, rehearsal.blocked, "stopped"), (live, rehearsal.blocked_live, "stopped_live")):
        for key, count in blocked.items():
            rows.setdefault(called(day, key, names), Counter())[column] += count
    differences = {kind: difference(rehearsal, kind, live, tried) for kind in whatif.KINDS}
    return {
        "orders_judged": rehearsal.judged, "stopped": rehearsal.stopped, "stopped_live": rehearsal.stopped_live,
        "cancels_stopped": rehearsal.cancels_stopped, "hits_cooling": rehearsal.hits_cooling,
        "same": not any(difference["orders"] for difference in differences.values()),
        "by_rule": [{"rule": rule, "name": names[rule], **{column: row[column] for column in COLUMNS}}
                    for rule, row in sorted(rows.items())],
        "differences": differences,
        "levels": [level_facts(rehearsal, tried, level) for level in rehearsal.levels()],
    }


HIT_COLUMNS = {1: "warned", 2: "breached"}
LIVE_HIT_COLUMNS = {1: "warned_live", 2: "breached_live"}
COLUMNS = ("warned", "warned_live", "breached", "breached_live", "stopped", "stopped_live")


def hit_counts(journal: Any) -> Counter[tuple[int, int, int]]:
    """Recorded hits by (rule set, rule, stage)."""
    return Counter((hit["rule_set"], hit["rule"], hit["stage"]) for hit in lookback.picked(journal, ("HIT",)))


def called(day: Day, key: RuleKey, names: dict[str, str]) -> str:
    """`Z06001@1`; its name is noted."""
    rule = day.rule(*key) or {"rule": f"rule {key[1]} of rule set {key[0]}", "name": ""}
    names[rule["rule"]] = rule["name"]
    return str(rule["rule"])


def difference(rehearsal: Any, kind: str, live: Day, tried: Day) -> Facts:
    """All orders of one kind of difference, and the first of them with what was compared."""
    orders, notional_e4, of_makers = rehearsal.counts[kind]
    accounts = sorted(rehearsal.accounts[kind].items(), key=lambda entry: (-entry[1][1], entry[0]))
    return {
        "orders": orders, "notional": shown(notional_e4, "yuan"), "notional_e4": notional_e4,
        "market_makers": of_makers,
        "accounts": [{"account": rehearsal.account_name(index), "orders": count, "notional": shown(sum_e4, "yuan")}
                     for index, (count, sum_e4) in accounts],
        "first": [order_facts(rehearsal, found, live, tried) for found in rehearsal.differences
                  if found["kind"] == kind],
    }


def order_facts(rehearsal: Any, found: Facts, live: Day, tried: Day) -> Facts:
    return {
        "order_id": found["order_id"], "time": when(found["time_ns"]),
        "account": rehearsal.account_name(found["account"]),
        "security": live.instrument(found["instrument"]), "side": name_of(SIDES, found["side"]),
        "order_qty_shares": found["order_qty_shares"], "price": shown(found["price_e4"], "price"),
        "notional": shown(found["notional_e4"], "yuan"),
        "live": verdict(live, found["live"]), "candidate": verdict(tried, found["candidate"]),
        "comparisons": comparisons(tried, found["candidate"]["rule_set"], found["factors"]),
    }


def verdict(day: Day, decided: Facts) -> str:
    """`passed`, or the code with the rule that stopped it or made it wait."""
    rule = day.rule(decided["rule_set"], decided["rule"]) if decided["rule"] else None
    return f"{'waits ' * decided['waits']}R{decided['code']} {rule['rule']}" if rule else "passed"


def level_facts(rehearsal: Any, tried: Day, level: Facts) -> Facts:
    rule = tried.rule(level["rule_set"], level["rule"])
    name = f"L{level['level']} {LEVEL_NAMES[level['level']]}"
    return {"subject": rehearsal.owner_name(level["owner"]), "level": name, "time": when(level["time_ns"]),
            "rule": rule["rule"] if rule else ""}
