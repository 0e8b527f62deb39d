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
) -> dict[AccountLimits, int]:
    """The day's settings into a new or recovered engine; what is unchanged makes no event. The profiles it has.

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
    load_holdings(engine, limits, indexes, now_ns)
    for token in limits.tokens:
        own = tuple(indexes[at] for at in token.account_indexes)
        settings.set_port(engine, msgspec.structs.replace(token, account_indexes=own), now_ns)
    return profiles


def profiles_of(limits: Limits) -> dict[AccountLimits, int]:
    """The numbers that load_engine gives the limits' profiles in an empty engine."""
    return {profile: number for number, profile in enumerate(dict.fromkeys(row.limits for row in limits.accounts))}


def load_holdings(engine: Any, limits: Limits, indexes: list[int], now_ns: int) -> None:
    """Positions and borrowed shares of accounts that are there. indexes: in the engine, of the file's accounts."""
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


def load_one(engine: Any, limits: Limits, profiles: dict[AccountLimits, int], now_ns: int) -> int:
    """A single account into a running engine, as its day began; its index. limits: that account's alone; profiles:
    those the engine has."""
    (account,) = limits.accounts
    if account.limits not in profiles:
        profiles[account.limits] = engine.state.profile_count
        settings.set_profile(engine, profiles[account.limits], account.limits, now_ns)
    index: int = settings.set_account(engine, account, profiles[account.limits], now_ns)
    load_holdings(engine, limits, [index], now_ns)
    return index


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
