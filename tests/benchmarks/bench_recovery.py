"""How long a start takes after a day of ten million events under the shipped rules: with a snapshot, and without."""

import gc
import shutil
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import risk_rules
from ext import replay, surveillance
from ext.engine import Engine
from ext.state import State
from gateway.journal_file import JournalFile
from gateway.recovery import Recovery, recover
from gateway.snapshots import snapshot_files, write_snapshot
from risk_rules.load import load_rules, rule_files
from tests import day_probe
from tests.benchmarks.bench_core import START_NS, SYMBOLS, TRADED_SYMBOLS, rig, row

EVENTS = 10_000_000
TAIL = 100_000  # events behind the snapshot: some seconds of a busy day
ACCOUNTS = 10_000
ORDERS = 1 << 22  # most of a day, as served without a flag
STEP_NS = 5_000_000  # 200 orders a second: four hours and more
NEEDED_BYTES = 8 << 30
DAY = date(2026, 11, 23)


def quiet(*_: object, **__: object) -> None:
    """A log that nobody reads."""


def recorded_day(folder: Path, rules: bool, events: int = EVENTS, tail: int = TAIL) -> tuple[Path, str]:
    """A journal of so many events, a snapshot taken before the last ones; its path and the state's hash at the end."""
    built = rig(folder, ACCOUNTS, orders=ORDERS)
    if rules:
        program = load_rules(rule_files(Path(risk_rules.__file__).parent), day=DAY).program
        who = {"id": "bench", "sha256": bytes(32), "by": "bench", "approved_by": "", "reason": ""}
        surveillance.put_in_force(built.engine, program, **who, now_ns=START_NS)
    day = day_probe.Day(built.engine, built.session, ACCOUNTS, SYMBOLS, TRADED_SYMBOLS, START_NS)
    day.play(events - tail, STEP_NS)
    path = Path(built.engine.journal.path)
    end = built.engine.journal.end
    day.play(events, STEP_NS)
    digest = built.engine.state.hash()
    built.journal_file.close()
    # The file's lock goes with its mapping, and a session and its engine hold each other.
    del built, day
    gc.collect()
    take_snapshot(path, end)
    return path, digest


def new_state() -> State:
    return State(ACCOUNTS, ACCOUNTS * TRADED_SYMBOLS + 1024, ORDERS)


def take_snapshot(path: Path, end: int) -> None:
    """As the process beside the shard does it."""
    file = JournalFile(path, writable=False)
    engine = Engine(new_state(), file.journal)
    file.journal.rewind()
    replay.fold_on(engine, end)
    write_snapshot(path, engine)
    file.close()


def start(path: Path, digest: str) -> tuple[float, Recovery]:
    """Seconds from opening the file to a state that is ready."""
    began = time.perf_counter()
    file = JournalFile(path)
    engine, found = recover(file.journal, new_state, quiet)
    engine.state.fault_in()
    taken = time.perf_counter() - began
    if engine.state.hash() != digest:
        raise AssertionError(f"recovered into another state: {found}")
    file.close()
    del engine, file
    gc.collect()
    return taken, found


def parts(found: Recovery) -> str:
    seconds = {name: value for name, value in found.shown().items() if name.endswith("_s") and name[0] not in "t"}
    told = ", ".join(f"{name.removesuffix('_s')} {value:.2f}" for name, value in seconds.items() if "age" not in name)
    return f"{found.frames:,} frames, {found.frames_folded:,} folded, {found.invariants:,} sums compared; s: {told}"


def run(runs: int = 3) -> dict[str, dict[str, Any]]:
    """recovery_10m_s and recovery_snapshot_s, in the median."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < NEEDED_BYTES:
            print(f"recovery: skipped: {folder} has less than {NEEDED_BYTES >> 30} GiB free")
            return {}
        path, digest = recorded_day(folder, rules=True)
        with_snapshot = [start(path, digest) for _ in range(runs)]
        sizes = sum(file.stat().st_size for file in snapshot_files(path))
        for snapshot in snapshot_files(path):
            snapshot.unlink()
        alone = [start(path, digest) for _ in range(runs)]
    figures = {}
    for key, measured, target in (("recovery_10m_s", alone, "< 15"), ("recovery_snapshot_s", with_snapshot, "< 3")):
        seconds = [taken for taken, _ in measured]
        note = parts(measured[-1][1]) + (f"; snapshot {sizes >> 20} MiB" if measured is with_snapshot else "")
        figures[key] = row(statistics.median(seconds), "s", seconds, target=target, note=note)
    return figures


if __name__ == "__main__":
    for key, figures in run().items():
        print(key, figures)
