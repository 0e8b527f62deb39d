"""What the rules add to a decision, how many messages a second the core judges, and how long a reload stops it."""

import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from ext import surveillance, tape
from ext.ahead import Ahead
from ext.histogram import Histogram
from gateway.pb import order_entry_pb2 as pb
from risk_rules.load import load_rules, rule_files
from tests.benchmarks.bench_core import (
    ORDERS,
    SMALL,
    START_NS,
    SYMBOLS,
    TRADED_SYMBOLS,
    Rig,
    decision_ns,
    messages,
    rig,
    row,
    venue_id,
)

MANY_RULES = 10_000
CANCELED = 2  # venue.VenueReportKind
NEVER = 10**9
MEAN_AGE_ORDERS = 5_000  # orders sent between one and its cancel or fill
MIX_STEP_NS = 1_000_000  # between two messages: nobody comes near a rate limit
RULEBOOK = Path(__file__).parents[2] / "risk_rules"
DAY = date(2026, 11, 23)
HEAD = "schema: 1\nrule_set: {id: bench, version: 1}\n"
def rule(number: int, per: str, on: str, when: str, more: str = "") -> str:
    source = "{doc: d, clause: c, basis: ours}"
    return (f"- {{id: B{number}, version: 1, name: n, source: {source}, mode: enforce, per: {per}, "
            f"on: [{on}], when: \"{when}\", breach: block, warn_at: 80%, tests: [t]{more}}}\n")  # fmt: skip


def program(folder: Path, rules: list[str]) -> bytes:
    path = folder / "bench.yaml"
    path.write_text(HEAD + "rules:\n" + "".join(rules).replace(", breach: block, warn_at: 80%", ", breach: L1"))
    (folder / "bench_test.yaml").write_text("schema: 1\ntests:\n- name: t\n")
    return load_rules([path]).program


def shipped() -> bytes:
    """The rulebook that ships, as of a day when all of it is in force."""
    return load_rules(rule_files(RULEBOOK), day=DAY).program


def one_account_each(folder: Path, count: int) -> bytes:
    """So many rules, each for one account by name."""
    return program(
        folder,
        [
            rule(at, "account", "order", f"orders(1 s) > {NEVER + at % 7}", f", scope: {{accounts: [A{at:07}]}}")
            for at in range(count)
        ],
    )


def put(built: Rig, octets: bytes, at: int = 0) -> float:
    """Put rules in force; how many seconds nothing else could happen."""
    began = time.perf_counter()
    surveillance.put_in_force(
        built.engine, octets, id="bench", sha256=bytes(32), by="b", approved_by="", reason="", now_ns=START_NS + at
    )
    paused = time.perf_counter() - began
    surveillance.drop_retired(built.engine)
    Ahead(built.engine.journal, built.engine.state).prepare()
    return paused


def paced_ns(built: Rig, blob: bytes, ends: np.ndarray, at: int) -> Histogram:
    """As decision_ns, at a pace that no account's rules mind: 1,000 orders a second over all, one batch after another.

    A batch ends with its orders: nobody lets them pile up, and rules that look through an account's book look at a few.
    """
    histogram, first = Histogram(), int(built.engine.state.order_count)
    tape.time_decisions(built.engine, built.session, blob, ends, START_NS + at * MIX_STEP_NS, MIX_STEP_NS, histogram)
    over_ns = START_NS + (at + len(ends)) * MIX_STEP_NS
    for number in range(first + 1, int(built.engine.state.order_count) + 1):
        tape.report(built.engine, 1, CANCELED, over_ns, cl_ord_id=venue_id(number), report_index=number)
    return histogram


def check_quiet(built: Rig) -> None:
    """A hit is journaled, with its factors: that is another figure than what rules cost that find nothing."""
    if surveillance.alert_count(built.engine) > 1:
        raise AssertionError(f"rules were met: {surveillance.hit_counts(built.engine)}")


def added(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """rulebook_added_ns: one decision with and without the rules, side by side."""
    rigs = {False: rig(folder, SMALL), True: rig(folder, SMALL)}
    put(rigs[True], shipped())
    half = ORDERS // runs // 2
    medians: dict[bool, list[float]] = {False: [], True: []}
    tails: dict[bool, list[float]] = {False: [], True: []}
    for built in rigs.values():
        paced_ns(built, *messages(SMALL, ORDERS // 2, 4 * runs * ORDERS, 99), 0)
    for run in range(runs):
        for with_rules, built in rigs.items():
            histogram = paced_ns(built, *messages(SMALL, half, 2 * run * ORDERS, run), (run + 1) * ORDERS)
            medians[with_rules].append(histogram.percentile_ns(500_000))
            tails[with_rules].append(histogram.percentile_ns(990_000))
    for built in rigs.values():
        if set(built.engine.decision_counts()) != {1}:
            raise AssertionError(f"decisions {built.engine.decision_counts()}: every order was meant to pass")
        check_quiet(built)
        built.journal_file.close()
    more = [b - a for a, b in zip(medians[False], medians[True], strict=True)]
    tail = [b - a for a, b in zip(tails[False], tails[True], strict=True)]
    bare = statistics.median(medians[False])
    value = statistics.median(more)
    note = f"shipped rulebook, {SMALL:,} accounts; the baseline is a decision without rules"
    return {
        "rulebook_added_ns": row(value, "ns", more, baseline=bare, ratio=1 + value / bare, target="<= 1000", note=note),
        "rulebook_added_p99_ns": row(statistics.median(tail), "ns", tail, baseline=statistics.median(tails[False]),
                                     target="<= 3000", note="of the 99th percentiles"),
    }  # fmt: skip


def many(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """rules_10k_ratio and the pauses of reloads."""
    rigs = {count: rig(folder, MANY_RULES) for count in (100, MANY_RULES)}
    octets = {count: one_account_each(folder, count) for count in rigs}
    for count, built in rigs.items():
        put(built, octets[count])
        decision_ns(built, *messages(MANY_RULES, ORDERS // 2, 4 * runs * ORDERS, 99))
    medians: dict[int, list[float]] = {count: [] for count in rigs}
    for run in range(runs):
        for count, built in rigs.items():
            histogram = decision_ns(built, *messages(MANY_RULES, ORDERS // runs // 2, 2 * run * ORDERS, run))
            medians[count].append(histogram.percentile_ns(500_000))
    book = shipped()
    short = [1e6 * put(rigs[100], book, run) for run in range(4 * runs)]
    long = [1e6 * put(rigs[MANY_RULES], octets[MANY_RULES], run) for run in range(runs)]
    for built in rigs.values():
        built.journal_file.close()
    ratios = [b / a for a, b in zip(medians[100], medians[MANY_RULES], strict=True)]
    few = statistics.median(medians[100])
    return {
        "rules_10k_ratio": row(statistics.median(ratios), "x", ratios, baseline=few, target="<= 1.3",
                               note=f"{MANY_RULES:,} rules to 100, each for one account"),
        "reload_pause_us": row(max(short), "us", short, target="< 1000", note="worst; shipped rulebook"),
        "reload_pause_10k_us": row(max(long), "us", long, note=f"worst; {MANY_RULES:,} rules"),
    }  # fmt: skip


def shares_of(count: int, power: float) -> np.ndarray:
    """How much of the flow each of so many has: by rank, rank to the minus power."""
    weights = np.arange(1, count + 1, dtype=float) ** -power
    return weights / weights.sum()


def mixed(accounts: int, count: int, first_order: int, seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """(messages, ends, kinds): orders, and of those cancels (kind 1), fills (2) and quotes (3) of what came before.

    Of 100: 45 orders, 25 cancels, 15 fills, 15 quotes; a fill or cancel names an order by its number. As in a market
    some are busier than others (accounts by the square root of their rank, an account's instruments by theirs), and
    what is cancelled or filled was sent a while ago, not hours.
    """
    draw = np.random.default_rng(seed)
    kinds = draw.choice(4, count, p=[0.45, 0.25, 0.15, 0.15]).astype(np.int64)
    kinds[:100] = 0
    who = draw.choice(accounts, count, p=shares_of(accounts, 0.5))
    what = draw.choice(TRADED_SYMBOLS, count, p=shares_of(TRADED_SYMBOLS, 1.0))
    back = draw.exponential(MEAN_AGE_ORDERS, count).astype(np.int64)
    price = draw.integers(-9, 1, count)
    parts, ends, size, number, open_orders = [], np.zeros(count, np.int64), 0, first_order, []
    for at in range(count):
        octets = b""
        if kinds[at] == 0:
            number += 1
            open_orders.append((number, int(who[at])))
            symbol = 600_000 + (int(who[at]) * 7 + int(what[at])) % SYMBOLS
            octets = pb.ClientMessage(new_order=pb.NewOrder(
                cl_ord_id=f"m{number}", account=f"A{who[at]:07}", symbol=f"{symbol}",
                security_exchange=1, side=1, ord_type=1, order_qty_shares=100, price_e4=100_000 + 100 * int(price[at]),
            )).SerializeToString()  # fmt: skip
        elif kinds[at] in (1, 2) and open_orders:
            target, owner = open_orders.pop(max(len(open_orders) - 1 - int(back[at]), 0))
            octets = target.to_bytes(8, "little")
            if kinds[at] == 1:
                octets = pb.ClientMessage(cancel_order=pb.CancelOrder(
                    cl_ord_id="c", account=f"A{owner:07}", order_id=target)).SerializeToString()  # fmt: skip
        else:
            kinds[at] = 3
            octets = (600_000 + int(what[at])).to_bytes(8, "little")
        parts.append(octets)
        size += len(octets)
        ends[at] = size
    return b"".join(parts), ends, kinds


def throughput(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """decisions_per_s: judged, journaled and applied, without a clock between them."""
    rates: dict[bool, list[float]] = {False: [], True: []}
    for with_rules in (False, True):
        built = rig(folder, SMALL)
        if with_rules:
            put(built, shipped())
        first, report, now = 0, 1, START_NS
        for run in range(runs + 1):
            blob, ends, kinds = mixed(SMALL, ORDERS // 2, first, run)
            first += int((kinds == 0).sum())
            began = time.perf_counter()
            report = tape.run_mixed(built.engine, built.session, blob, ends, kinds, now, MIX_STEP_NS, report)
            if run:
                rates[with_rules].append(len(kinds) / (time.perf_counter() - began))
            now += len(kinds) * MIX_STEP_NS
        check_quiet(built)
        built.journal_file.close()
    rate, bare = (statistics.median(rates[with_rules]) for with_rules in (True, False))
    note = "45 orders, 25 cancels, 15 fills, 15 quotes in 100, all checks and the rulebook; the baseline has no rules"
    return {
        "decisions_per_s": row(
            rate, "/s", rates[True], baseline=bare, ratio=rate / bare, target=">= 1000000", note=note
        )
    }


def run(runs: int = 5) -> dict[str, dict[str, Any]]:
    """Rows of the rules' figures; see docs of each function."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return added(folder, runs) | many(folder, runs) | throughput(folder, runs)


if __name__ == "__main__":
    for key, figures in run(3).items():
        print(key, {name: figures[name] for name in ("value", "baseline", "runs", "target")})
