"""Puts limits and instruments into an engine, as events. Reads no file and checks nothing the loaders have checked."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ext import settings
from ext.codes import PHASES
from gateway.limit_types import AccountLimits, Limits
from gateway.reference import Instrument


def load_engine(
    engine: Any, limits: Limits, instruments: Iterable[Instrument], *, trade_date: int, shard: int, now_ns: int
) -> None:
    """The day's settings into a new or recovered engine; what is unchanged makes no event.

    trade_date: YYYYMMDD. Raises JournalError when the journal is of another day or shard, ValueError when a limit
    names an instrument that is not there.
    """
    settings.begin_day(engine, trade_date, shard, now_ns)
    set_rules(engine, limits, now_ns)
    for instrument in instruments:
        settings.set_instrument(engine, instrument, now_ns)
    for index, group in enumerate(limits.groups):
        settings.set_group(engine, index, group, now_ns)
    for index, unit in enumerate(limits.units):
        settings.set_unit(engine, index, unit, now_ns)
    for index, strategy in enumerate(limits.strategies):
        settings.set_strategy(engine, index, strategy, now_ns)
    profiles: dict[AccountLimits, int] = {}
    indexes: list[int] = []  # of the file's accounts in the engine: one that came during the day is last there
    for account in limits.accounts:
        profile = profiles.get(account.limits)
        if profile is None:
            profile = profiles[account.limits] = len(profiles)
            settings.set_profile(engine, profile, account.limits, now_ns)
        indexes.append(settings.set_account(engine, account, profile, now_ns))
    for position in limits.positions:
        settings.set_position(
            engine,
            indexes[position.account_index],
            position.venue,
            position.symbol,
            position.total_shares,
            position.sellable_shares,
            now_ns,
        )
    for locate in limits.locates:
        index = indexes[locate.account_index]
        settings.set_locate(engine, index, locate.venue, locate.symbol, locate.shares, now_ns)
    for token in limits.tokens:
        own = tuple(indexes[at] for at in token.account_indexes)
        settings.set_port(engine, msgspec.structs.replace(token, account_indexes=own), now_ns)


def set_rules(engine: Any, limits: Limits, now_ns: int) -> None:
    collars = {
        PHASES["OPEN_CALL"]: limits.collars.open_call,
        PHASES["CONTINUOUS"]: limits.collars.continuous,
        PHASES["CLOSE_CALL"]: limits.collars.close_call,
    }
    settings.set_rules(
        engine,
        limits.fees,
        limits.boards,
        collars,
        limits.market_data.max_age_ms,
        limits.firm,
        limits.rule_set.id,
        limits.rule_set.version,
        now_ns,
    )
