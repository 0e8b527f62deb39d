"""A shard's state from its disk: the newest good snapshot, the journal behind it, and whether all of it adds up.

It finds and tells; it repairs nothing but a torn last frame.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ext import carry_over, invariants, replay, sweeps
from ext.clock import utc_now_ns
from ext.codes import VENUES
from ext.engine import Engine
from ext.journal import JournalError
from ext.snapshot import SnapshotError
from ext.state import State
from gateway.journal_file import JournalFile, days_in
from gateway.settings import Settings
from gateway.snapshots import load_snapshot, snapshot_age_s, snapshot_files

MOST_SHOWN = 3  # faults in one line
Log = Callable[..., None]


class InDoubt(msgspec.Struct):
    """Orders of one exchange whose bytes may or may not have left before the start."""

    venue: str
    found: int  # in the journal
    is_settled: bool = False  # the link came up since: the rest is known
    settled_by_reports: int = 0  # the exchange's reports named them
    resent: int = 0  # orders and cancels, under the ClOrdID they had


class Recovery(msgspec.Struct):
    """What a start found. Times in seconds."""

    snapshot: str = ""  # name of the one it began with, empty: the journal alone
    snapshot_seq: int = 0
    snapshot_age_s: float = 0.0
    refused: list[str] = []  # snapshots that could not be used: name, why
    frames: int = 0  # of the journal
    frames_folded: int = 0  # behind the snapshot
    orders: int = 0
    open_orders: int = 0
    torn_bytes: int = 0  # of an unfinished last frame, cut
    invariants: int = 0  # sums compared
    faults: list[str] = []
    snapshot_s: float = 0.0
    verify_s: float = 0.0  # checksums of the journal before it
    fold_s: float = 0.0
    settle_s: float = 0.0  # what waits for something, found again
    invariants_s: float = 0.0
    total_s: float = 0.0
    in_doubt: list[InDoubt] = []

    def count_in_doubt(self, engine: Any) -> None:
        """Before any exchange has spoken."""
        self.in_doubt = [InDoubt(name, sweeps.in_doubt(engine, number)) for name, number in VENUES.items()]

    def note_link(self, venue: str, before: int, resent: int) -> None:
        """An exchange's reports are in for the first time. before: orders in doubt then; resent: sent again."""
        for row in self.in_doubt:
            if row.venue == venue and not row.is_settled:
                row.is_settled = True
                row.settled_by_reports = max(row.found - before, 0)
                row.resent = resent

    def shown(self) -> dict[str, Any]:
        """For the log and for whoever asks."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in fields.items()}


def recover(journal: Any, new_state: Callable[[], Any], log: Log) -> tuple[Any, Recovery]:
    """The engine with all that the journal holds, and what was found. new_state: an empty one each time.

    Raises JournalError when the journal is damaged or does not add up; a snapshot that cannot be used is only told of.
    """
    began = time.perf_counter()
    found = Recovery()

    def attempt(path: Path | None) -> Any:
        engine = begin(journal, new_state, path, found)
        verify(journal, found)
        fold_tail(engine, found)
        check(engine, found)
        return engine

    engine = first_good(Path(journal.path), attempt, found.refused, log)
    found.count_in_doubt(engine)
    found.total_s = time.perf_counter() - began
    return engine, found


def folded(journal: Any, new_state: Callable[[], Any], log: Log) -> Any:
    """The engine of a journal that is only read: no sums compared, nothing cut. Raises JournalError as recover."""

    def attempt(path: Path | None) -> Any:
        engine = begin(journal, new_state, path, Recovery())
        replay.fold_on(engine)
        return engine

    return first_good(Path(journal.path), attempt, [], log)


def first_good(journal: Path, attempt: Callable[[Path | None], Any], refused: list[str], log: Log) -> Any:
    """What comes of the newest snapshot that leads to something, at last of none: only the journal's word is final."""
    for path in snapshot_files(journal):
        try:
            return attempt(path)
        except (SnapshotError, JournalError) as error:
            refused.append(f"{path.name}: {error}")
            log("snapshot_refused", file=str(path), reason=str(error))
    return attempt(None)


def begin(journal: Any, new_state: Callable[[], Any], path: Path | None, found: Recovery) -> Any:
    """An engine with a snapshot, or with nothing before the journal's first frame."""
    began = time.perf_counter()
    engine = Engine(new_state(), journal)
    found.snapshot, found.snapshot_seq, found.snapshot_age_s = "", 0, 0.0
    if path is None:
        journal.rewind()
    else:
        load_snapshot(path, engine)
        found.snapshot, found.snapshot_seq = path.name, int(journal.seq)
        found.snapshot_age_s = snapshot_age_s(path)
    found.snapshot_s = time.perf_counter() - began
    return engine


def verify(journal: Any, found: Recovery) -> None:
    """Every checksum before the snapshot: a damaged journal is refused, whether it has to be folded or not."""
    began = time.perf_counter()
    if found.snapshot:
        replay.verify(journal, journal.end)
    found.verify_s = time.perf_counter() - began


def fold_tail(engine: Any, found: Recovery) -> None:
    """What the journal has behind it, and then all that waits for something."""
    began = time.perf_counter()
    replay.fold_on(engine)
    folded_at = time.perf_counter()
    settled = sweeps.settle(engine)
    found.fold_s = folded_at - began
    found.settle_s = time.perf_counter() - folded_at
    found.frames = settled["frames"]
    found.frames_folded = found.frames - found.snapshot_seq
    found.orders, found.open_orders = settled["orders"], settled["open_orders"]
    found.torn_bytes = settled["torn_bytes"]


def check(engine: Any, found: Recovery) -> None:
    """Whether all sums are those of the orders. Raises JournalError when they are not."""
    began = time.perf_counter()
    found.invariants, found.faults = invariants.compare(engine)
    found.invariants_s = time.perf_counter() - began
    if found.faults:
        text = "; ".join(found.faults[:MOST_SHOWN])
        raise JournalError(engine.journal.path, 0, f"its state does not add up: {text}")


def take_over(settings: Settings, engine: Any, path: str, log: Log) -> None:
    """What the newest older journal of this shard left (kills, levels, open reviews) into a new day's journal.

    Raises JournalError when that journal cannot be read: a day that starts must not forget who was stopped.
    """
    own = Path(path)
    older = [day for day in days_in(own.parent, settings.shard) if day.name < own.name]
    left: list[Any] = []
    if older:
        file = JournalFile(older[-1], writable=False)
        try:
            rows = engine.state.most_accounts, engine.state.most_positions, settings.max_orders
            ended = folded(file.journal, lambda: State(*rows), log)
            left = carry_over.carry_over(ended.state, file.journal)
        finally:
            file.close()
    source = older[-1].name if older else "no older journal"
    log("carried_over", source=source, **carry_over.restore(engine, left, source, utc_now_ns()))
