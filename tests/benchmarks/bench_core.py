"""What a decision costs in process, from 1,000 to 1,000,000 accounts; journal replay; memory per account and order."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ext import queries, sweeps, tape
from ext.ahead import Ahead
from ext.buffers import Turn
from ext.codes import PHASES
from ext.engine import Engine
from ext.histogram import Histogram
from ext.replay import fold, scan
from ext.session import Session, Stages
from ext.state import State
from gateway import limit_types as shape
from gateway.journal_file import JournalFile
from gateway.loading import load_engine
from gateway.pb import order_entry_pb2 as pb
from gateway.reference import Instrument

START_NS = 1_795_000_000_000_000_000
SYMBOLS = 2000
ORDERS = 200_000
STEP_NS = 20_000
YUAN = 10_000
MANY = 10**9
SMALL, LARGE = 1_000, 1_000_000
TRADED_SYMBOLS = 20  # instruments one account trades


def instruments() -> list[Instrument]:
    """Main-board instruments of Shanghai at 10 yuan."""
    return [
        Instrument(
            symbol=600_000 + at,
            venue=1,
            board=1,
            name=f"S{at}",
            is_st=0,
            tick_e4=100,
            buy_min_shares=100,
            buy_step_shares=100,
            max_limit_shares=1_000_000,
            max_market_shares=1_000_000,
            prev_close_e4=100_000,
            up_limit_e4=110_000,
            down_limit_e4=90_000,
            status=1,
            t_plus=1,
            float_shares=MANY,
        )
        for at in range(SYMBOLS)
    ]


def limits(accounts: int) -> shape.Limits:
    """Every limit set and none in the way, so that each order goes down the whole ladder."""
    credit = {"gross_limit_e4": 10**15, "long_limit_e4": 10**15, "short_limit_e4": 10**15}
    profile = shape.AccountLimits(
        max_qty_shares=MANY,
        max_ntl_e4=10**13,
        **credit,
        position_limit_shares=MANY,
        open_orders=10_000,
        open_orders_per_symbol=1_000,
        rate_out_per_s=MANY,
        rate_out_per_day=MANY,
        rate_symbol_per_s=MANY,
        dup_window_ms=100,
        dup_max=1000,
        board_mask=14,
        ord_type_mask=254,
        restricted=(),
    )
    board = shape.BoardRules(
        buy_min_shares=100,
        step_shares=100,
        odd_lot_shares=100,
        max_limit_shares=1_000_000,
        max_market_shares=1_000_000,
        cage_bps=200,
        cage_ticks=10,
        ord_type_mask=254,
    )
    collar = shape.Collar(bps=1000, ticks=20)
    return shape.Limits(
        path="",
        sha256="",
        rule_set=shape.RuleSet("bench", 1),
        fees=shape.Fees(2500, 5 * YUAN, 100, 341, 200, 5000),
        boards={1: board, 2: board, 3: board},
        collars=shape.Collars(collar, collar, collar),
        market_data=shape.MarketData(10_000_000),
        firm=shape.Firm(10**18, 10**18, 10**18, 10**18),
        groups=(),
        accounts=tuple(
            shape.Account(f"A{at:07}", "p", -1, "A100000001", "0100000001", 1, 10**13, 1, profile)
            for at in range(accounts)
        ),
        positions=(),
        tokens=(shape.Token("00" * 32, tuple(range(accounts)), MANY, MANY, MANY, 1),),
    )


@dataclass
class Rig:
    """An engine with its accounts, one session that owns them all, and a link that forgets."""

    engine: Any
    session: Any
    journal_file: JournalFile


def rig(
    folder: Path, accounts: int, *, orders: int = 4 * ORDERS, warm: bool = True, private: bool = False
) -> Rig:
    """warm: its tables are made real beforehand, as the gateway does when it starts. private: for durability `disk`."""
    journal_file = JournalFile(folder / f"{accounts}-{time.monotonic_ns()}.journal", private=private)
    engine = Engine(State(accounts, min(accounts * TRADED_SYMBOLS, 4 * ORDERS) + 1024, orders), journal_file.journal)
    if warm:
        engine.state.fault_in()
        Ahead(journal_file.journal, engine.state).prepare()
    load_engine(engine, limits(accounts), instruments(), trade_date=20261123, shard=0, now_ns=START_NS)
    engine.attach(tape.NullOutlet(), tape.NullOutlet())
    sweeps.set_phase(engine, 1, PHASES["CONTINUOUS"], START_NS)
    sweeps.set_link(engine, 1, True, START_NS)
    for at in range(SYMBOLS):
        tape.quote(engine, 1, 600_000 + at, START_NS, bid_px_e4=99_900, ask_px_e4=100_100, last_px_e4=100_000)
    session = Session(Turn(lambda run: None), engine, Stages(), None)
    session.log_on(0, dict.fromkeys(range(accounts), 0))
    session.catch_up()
    return Rig(engine, session, journal_file)


def messages(accounts: int, count: int, first: int, seed: int) -> tuple[bytes, np.ndarray]:
    """Buy orders of random accounts, each in one of its instruments, as ClientMessages end to end."""
    draw = np.random.default_rng(seed)
    who, price = draw.integers(0, accounts, count), draw.integers(-9, 1, count)
    what = (who * 7 + draw.integers(0, TRADED_SYMBOLS, count)) % SYMBOLS
    parts = [
        pb.ClientMessage(
            new_order=pb.NewOrder(
                cl_ord_id=f"o{first + at}",
                account=f"A{who[at]:07}",
                symbol=f"{600_000 + what[at]}",
                security_exchange=1,
                side=1,
                ord_type=1,
                order_qty_shares=100,
                price_e4=100_000 + 100 * int(price[at]),
                planned_ns=START_NS,
            )
        ).SerializeToString()
        for at in range(count)
    ]
    return b"".join(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)


def decision_ns(built: Rig, blob: bytes, ends: np.ndarray) -> Histogram:
    """The decision alone: rows looked up, whole ladder, journaled, held."""
    histogram = Histogram()
    tape.time_decisions(built.engine, built.session, blob, ends, START_NS, STEP_NS, histogram)
    return histogram


def message_ns(caller: Any, blob: bytes, ends: np.ndarray) -> Histogram:
    """The whole message: decoded, decided, sent to a link that forgets it, reported."""
    histogram = Histogram()
    tape.time_messages(caller, blob, ends, START_NS, STEP_NS, histogram)
    return histogram


def row(
    value: float,
    unit: str,
    runs: list[float],
    *,
    baseline: float | None = None,
    ratio: float | None = None,
    target: str = "",
    note: str = "",
) -> dict[str, Any]:
    return {
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
        "runs": runs,
        "target": target,
        "note": note,
    }


def decisions(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """risk_decision_ns and risk_scale_ratio: small and large side by side, run by run, beside the empty loop."""
    rigs = {accounts: rig(folder, accounts) for accounts in (SMALL, LARGE)}
    empty_caller = tape.NullCaller(Turn(lambda run: None))
    medians: dict[int, list[float]] = {SMALL: [], LARGE: []}
    p99s, wholes, empties = [], [], []
    half = ORDERS // runs // 2
    for accounts, built in rigs.items():
        decision_ns(built, *messages(accounts, ORDERS // 2, 4 * runs * ORDERS, 99))  # a warm-up, not counted
    for run in range(runs):
        for accounts, built in rigs.items():
            histogram = decision_ns(built, *messages(accounts, half, 2 * run * ORDERS, run))
            medians[accounts].append(histogram.percentile_ns(500_000))
            if accounts == SMALL:
                p99s.append(histogram.percentile_ns(990_000))
                blob, ends = messages(accounts, half, (2 * run + 1) * ORDERS, 1000 + run)
                wholes.append(message_ns(built.session, blob, ends).percentile_ns(500_000))
                empties.append(message_ns(empty_caller, blob, ends).percentile_ns(500_000))
    for built in rigs.values():
        passed = built.engine.decision_counts()
        if set(passed) != {1}:
            raise AssertionError(f"decisions by code {passed}: every order was meant to pass")
        built.journal_file.close()
    small, large, empty, whole, p99 = (
        statistics.median(values) for values in (medians[SMALL], medians[LARGE], empties, wholes, p99s)
    )
    ratios = [b / a for a, b in zip(medians[SMALL], medians[LARGE], strict=True)]
    note = f"median; p99 {p99:.0f} ns; from message to report {whole:.0f} ns; the empty loop has both clock readings"
    at_large = f"median at 1,000,000 accounts {large:.0f} ns"
    return {
        "risk_decision_ns": row(
            small, "ns", medians[SMALL], baseline=empty, ratio=small / empty, target="< 600", note=note
        ),
        "risk_scale_ratio": row(
            statistics.median(ratios), "x", ratios, baseline=small, ratio=large / small, target="<= 1.5", note=at_large
        ),
    }


def replay(folder: Path, runs: int) -> dict[str, dict[str, Any]]:
    """replay_events_per_s: a journal of orders and their fills folded into a new state."""
    built = rig(folder, SMALL)
    blob, ends = messages(SMALL, ORDERS, 0, 7)
    decision_ns(built, blob, ends)
    for number in range(1, ORDERS + 1):
        tape.report(
            built.engine,
            1,
            4,
            START_NS,
            cl_ord_id=venue_id(number),
            report_index=number,
            last_qty_shares=100,
            last_px_e4=99_100,
        )
    rates, baselines = [], []
    for _ in range(runs):
        began = time.perf_counter()
        frames = fold(State(SMALL, 4 * ORDERS, 4 * ORDERS), built.engine.journal)
        rates.append(frames / (time.perf_counter() - began))
        began = time.perf_counter()
        scan(built.engine.journal)
        baselines.append(frames / (time.perf_counter() - began))
    built.journal_file.close()
    rate, bare = statistics.median(rates), statistics.median(baselines)
    note = "read, checksum and apply; the baseline reads and checks without applying"
    return {
        "replay_events_per_s": row(
            rate, "events/s", rates, baseline=bare, ratio=rate / bare, target="> 1000000", note=note
        )
    }


def venue_id(number: int) -> str:
    digits = ""
    for _ in range(7):
        number, digit = divmod(number, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + digits
    return f"N00{digits}"


def resident_bytes() -> int:
    """Anonymous memory of this process: the journal's file pages are the kernel's, not the state's."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise OSError("no Anonymous line in /proc/self/smaps_rollup")


def memory(folder: Path) -> dict[str, dict[str, Any]]:
    """bytes_per_account, bytes_per_open_order: growth of the process over growth of the counts."""
    settings = limits(LARGE)
    journal_file = JournalFile(folder / "memory.journal")
    before = resident_bytes()
    engine = Engine(State(LARGE, 4 * ORDERS, 4 * ORDERS), journal_file.journal)
    load_engine(engine, settings, instruments(), trade_date=20261123, shard=0, now_ns=START_NS)
    per_account = (resident_bytes() - before) / LARGE
    journal_file.close()
    built = rig(folder, SMALL, orders=2 * ORDERS, warm=False)
    blob, ends = messages(SMALL, ORDERS, 0, 3)
    before = resident_bytes()
    decision_ns(built, blob, ends)
    positions = queries.counts(built.engine)["positions"]
    per_order = (resident_bytes() - before) / ORDERS
    built.journal_file.close()
    note = f"{ORDERS:,} open orders; their {positions:,} account x instrument records are included"
    return {
        "bytes_per_account": row(
            per_account, "bytes", [per_account], target="< 600", note="1,000,000 accounts, indexes included"
        ),
        "bytes_per_open_order": row(per_order, "bytes", [per_order], target="< 300", note=note),
    }


def run(runs: int = 5) -> dict[str, dict[str, Any]]:
    """Rows of the core's figures; see docs of each function."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return decisions(folder, runs) | replay(folder, runs) | memory(folder)


if __name__ == "__main__":
    for key, figures in run().items():
        print(key, figures)
