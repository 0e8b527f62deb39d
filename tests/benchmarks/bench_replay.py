"""A recorded day through the whole shipped rulebook, against the plain fold of the same journal in the same run."""

import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import risk_rules
from ext import surveillance, tape, whatif
from ext.journal import Journal
from ext.replay import fold
from ext.state import State
from gateway.pb import order_entry_pb2 as pb
from risk_rules.load import load_rules, rule_files
from tests.benchmarks.bench_core import START_NS, SYMBOLS, Rig, messages, rig, row, venue_id

ACCOUNTS = 1_000
ORDERS = 200_000
STEP_NS = 5_000_000  # 200 orders a second: with the quotes a day of some 17 minutes
QUOTE_EVERY = 2
DAY = date(2026, 11, 23)
SLICE = 50_000
ACKED, CANCELED, TRADED = 1, 2, 4  # venue.VenueReportKind


def recorded_day(built: Rig, program: bytes) -> int:
    """Orders that are acknowledged, a third filled, a third canceled, with quotes between them; how many events."""
    surveillance.put_in_force(
        built.engine,
        program,
        id="bench",
        sha256=bytes(32),
        by="bench",
        approved_by="",
        reason="",
        now_ns=START_NS,
    )
    blob, ends = messages(ACCOUNTS, ORDERS, 0, 7)
    now_ns, start, reports = START_NS, 0, 0
    for at, end in enumerate(ends.tolist()):
        now_ns += STEP_NS
        if at % QUOTE_EVERY == 0:
            quote(built, at // QUOTE_EVERY, now_ns)
        tape.feed(built.session, blob[start:end], now_ns)
        report = pb.ServerMessage.FromString(tape.taken(built.session)[0]).execution_report
        if not report.reject_code:
            reports = answer(built, report, at % 3, reports, now_ns)
        start = end
    return int(built.engine.journal.seq)


def quote(built: Rig, at: int, now_ns: int) -> None:
    last = 100_000 + at % 7 * 100
    levels = [(100 * step, 1_000 * step) for step in range(1, 6)]
    tape.quote(
        built.engine,
        1,
        600_000 + at % SYMBOLS,
        now_ns,
        bids=[(last - away, shares) for away, shares in levels],
        asks=[(last + away, shares) for away, shares in levels],
        last_px_e4=last,
        total_volume_shares=at * 1_000,
        total_turnover_e4=at * 1_000 * last,
    )


def answer(built: Rig, report: Any, fate: int, reports: int, now_ns: int) -> int:
    """The exchange accepts an order, then fills (0) or cancels (1) it or does nothing; number of its newest report."""
    kinds: list[dict[str, Any]] = [{"kind": ACKED}]
    if fate == 0:
        kinds.append({"kind": TRADED, "last_qty_shares": 100, "last_px_e4": 99_100})
    if fate == 1:
        kinds.append({"kind": CANCELED})
    for fields in kinds:
        if fields["kind"] == CANCELED:
            cancel = pb.CancelOrder(cl_ord_id=f"c{report.order_id}", account=report.account, order_id=report.order_id)
            tape.feed(built.session, pb.ClientMessage(cancel_order=cancel).SerializeToString(), now_ns)
        reports += 1
        name = venue_id(report.order_id)
        tape.report(built.engine, 1, now_ns=now_ns, cl_ord_id=name, report_index=reports, **fields)
    tape.taken(built.session)
    return reports


def rehearse(journal: Journal, program: bytes) -> float:
    """Events a second of one replay, the look through the day beforehand included."""
    began = time.perf_counter()
    size = whatif.measure(journal)
    with tempfile.TemporaryFile() as room:
        scratch = Journal(room.fileno(), 0, "scratch", capacity=1 << 32)
        rehearsal = whatif.Rehearsal(whatif.state_for(size), scratch, journal, size, program)
        while rehearsal.step(SLICE):
            pass
        taken = time.perf_counter() - began
        if rehearsal.differences:
            raise AssertionError(f"the day's own rules decided otherwise: {rehearsal.differences[0]}")
    return float(size["frames"] / taken)


def run(runs: int = 5) -> dict[str, dict[str, Any]]:
    """rules_replay_events_per_s."""
    rule_set = load_rules(rule_files(Path(risk_rules.__file__).parent), day=DAY)
    with tempfile.TemporaryDirectory() as name:
        built = rig(Path(name), ACCOUNTS)
        frames = recorded_day(built, rule_set.program)
        hits = surveillance.alert_count(built.engine)
        rates, folds = [], []
        for _ in range(runs):
            rates.append(rehearse(built.engine.journal, rule_set.program))
            began = time.perf_counter()
            fold(State(ACCOUNTS, 4 * ORDERS, 4 * ORDERS), built.engine.journal)
            folds.append(frames / (time.perf_counter() - began))
        built.journal_file.close()
    rate, plain = statistics.median(rates), statistics.median(folds)
    note = f"{len(rule_set.rules)} rules, {frames:,} events, {hits:,} alerts in them; the baseline is the plain fold"
    return {
        "rules_replay_events_per_s": row(
            rate, "events/s", rates, baseline=plain, ratio=rate / plain, target="> 500000", note=note
        )
    }


if __name__ == "__main__":
    for key, figures in run().items():
        print(key, figures)
