"""What a shard has before it trades: its files, its journal folded into state, today's settings on top. It opens no socket."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from ext.clock import utc_now_ns
from ext.journal import JournalError
from ext.state import State
from gateway.homes import Place, limits_at_home
from gateway.journal_file import JournalFile, segments_of
from gateway.limit_types import AccountLimits, Limits
from gateway.limits import load_limits
from gateway.loading import load_engine
from gateway.recovery import Recovery, recover, take_over
from gateway.reference import Instrument, load_instruments
from gateway.rule_start import begin_rules
from gateway.settings import SettingError, Settings

SPARE_POSITIONS = 1 << 18


class Files(msgspec.Struct, frozen=True):
    """What a shard reads before the day."""

    every: Limits  # of all accounts
    limits: Limits  # of those at home
    instruments: list[Instrument]


def load_files(settings: Settings, place: Place | None) -> Files:
    """Raises ConfigError with every fault of the files."""
    every = load_limits(settings.limits)
    limits = limits_at_home(every, place.is_home) if place is not None else every
    return Files(every, limits, list(load_instruments(settings.instruments)))


def journal_path(settings: Settings) -> Path:
    return settings.journal / f"{settings.trade_date}-{settings.shard:02d}.journal"


def open_engine(settings: Settings, files: Files, log: Callable[..., None]) -> tuple[JournalFile, Any, Recovery]:
    """The day's journal folded into state, and what was found.

    Raises JournalError when the journal is damaged or does not add up.
    """
    limits = files.limits
    journal_file = JournalFile(
        journal_path(settings), private=settings.durability == "disk", segment_size=settings.segment_bytes
    )
    rows = max(1024, 2 * len(limits.accounts)), len(limits.positions) + SPARE_POSITIONS, settings.max_orders
    engine, found = recover(journal_file.journal, lambda: State(*rows), log)
    log("recovered", limits_sha256=limits.sha256, **found.shown())
    return journal_file, engine, found


def begin_day(
    settings: Settings, files: Files, engine: Any, log: Callable[..., None]
) -> dict[AccountLimits, int]:
    """Today's settings on top of the journal's state; what is unchanged makes no event. The profiles it has.

    Raises SettingError when files and journal do not fit, JournalError when the journal is of another day, or full.
    """
    path = engine.journal.path
    try:
        profiles = load_engine(
            engine, files.limits, files.instruments, trade_date=settings.trade_date, shard=settings.shard,
            now_ns=utc_now_ns(),
        )  # fmt: skip
    except ValueError as error:
        raise SettingError(f"{settings.limits}: {error}") from None
    except OSError as error:
        raise JournalError(path, engine.journal.end, str(error)) from None
    if not engine.state.carried:
        take_over(settings, engine, path, log)
    begin_rules(engine, settings.journal, settings.rules, settings.trade_date, log)
    engine.state.fault_in()
    return profiles


def set_aside(settings: Settings) -> None:
    """Keep a journal that is not the beginning of its shard's under another name, its snapshots too."""
    path, ending = journal_path(settings), f".aside-{utc_now_ns() // 1_000_000_000}"
    for file in [*segments_of(path).values(), *path.parent.glob(f"{path.stem}*.snapshot")]:
        file.rename(file.with_name(file.name + ending))
