"""The model's world as the settings the gateway loads into an engine; the engine's state as the model's snapshot."""
from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from ext import queries
from ext.engine import Engine
from ext.response import MASK_BITS
from ext.state import State
from gateway import limit_types as lt
from gateway.loading import load_engine
from gateway.reference import Instrument as StaticInstrument
from tests import probe
from tests.model import Model, Usage
from tests.model_response import Subject
from tests.model_state import (
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_OPEN_CALL,
    XSHG,
    Account,
    BoardRules,
    Instrument,
    Limits,
    Port,
    ScopeLimits,
)

TRADE_DATE = 20261123
MOST_U32 = 2**32 - 1
GROUP_OWNER = 2**31
STATUSES = {"NORMAL": 1, "SUSPENDED": 2, "DELISTED": 4}


def mask(numbers: Collection[int]) -> int:
    return sum(1 << n for n in numbers)


class World:
    """Where the model's names are in the engine's tables."""

    def __init__(self, model: Model) -> None:
        self.accounts = {name: index for index, name in enumerate(model.accounts)}
        self.groups = {name: index for index, name in enumerate(model.groups)}
        self.ports = {name: index for index, name in enumerate(model.ports)}
        self.units = {name: index for index, name in enumerate(model.units)}
        self.strategy_count = len(model.strategies)
        self.instruments = {key: index for index, key in enumerate(model.instruments)}

    def load(self, engine: Engine, model: Model, now_ns: int) -> None:
        instruments = [static_instrument(model, i) for i in model.instruments.values()]
        load_engine(engine, self.limits(model), instruments, trade_date=TRADE_DATE, shard=0, now_ns=now_ns)

    def limits(self, model: Model) -> lt.Limits:
        some = next(iter(model.accounts.values()))
        firm, collar = model.firm, {p: lt.Collar(*some.limits.collar[p]) for p in some.limits.collar}
        return lt.Limits(
            path="", sha256="", rule_set=lt.RuleSet("model", 1),
            fees=lt.Fees(some.fees.commission_rate, some.fees.commission_min_e4, some.fees.transfer_rate,
                         some.fees.handling_rate, some.fees.regulatory_rate, some.fees.stamp_rate),
            boards={board: self.board_rules(model, board) for board in model.boards},
            collars=lt.Collars(collar[P_OPEN_CALL], collar[P_CONTINUOUS], collar[P_CLOSE_CALL]),
            market_data=lt.MarketData(model.venues[XSHG].max_age_ms),
            firm=lt.Firm(*scope(firm.limits), firm.capital_limit, *turnover(firm.limits), firm.limits.loss_limit,
                         lt.LOSS_ACTIONS[firm.limits.loss_action]),
            groups=tuple(lt.Group(g.name, *scope(g.limits), *turnover(g.limits)) for g in model.groups.values()),
            strategies=tuple(
                lt.Strategy(s.name, s.gross_limit, s.raet_max, s.raet_window_s, s.reject_streak_max, s.loss_limit,
                            lt.LOSS_ACTIONS[s.loss_action]) for s in model.strategies.values()
            ),
            units=tuple(lt.Unit(u.name, u.net_buy_quota) for u in model.units.values()),
            locates=tuple(
                lt.Locate(self.accounts[a.name], int(symbol), exchange, shares)
                for a in model.accounts.values() for (exchange, symbol), shares in a.located.items()
            ),
            accounts=tuple(self.account(account) for account in model.accounts.values()),
            positions=tuple(
                lt.Position(self.accounts[a.name], int(symbol), exchange, total, a.start_sellable[exchange, symbol])
                for a in model.accounts.values() for (exchange, symbol), total in a.start_total.items()
            ),
            tokens=tuple(self.token(port) for port in model.ports.values()),
        )  # fmt: skip

    def board_rules(self, model: Model, board: int) -> lt.BoardRules:
        rules = model.boards[board]
        return lt.BoardRules(rules.min_qty, rules.step_qty, 100, rules.max_limit_qty, rules.max_market_qty,
                             rules.cage_bps, rules.cage_ticks, mask(model.board_ord_types[board]))  # fmt: skip

    def account(self, account: Account) -> lt.Account:
        group = -1 if account.group is None else self.groups[account.group.name]
        return lt.Account(
            account.name, account.name, group, "A" + account.name, "0" + account.name, 1, account.cash0,
            lt.ACCOUNT_STATES[account.state], account_limits(account, account.limits),
            5 - account.risk_level | lt.C1_LOWEST * account.c1_lowest | lt.PROFESSIONAL * account.professional,
            -1 if account.unit is None else self.units[account.unit.name], account.tags,
        )  # fmt: skip

    def token(self, port: Port) -> lt.Token:
        known = tuple(self.accounts[name] for name in sorted(port.accounts) if name in self.accounts)
        return lt.Token(hashlib.sha256(port.name.encode()).hexdigest(), known, u32(port.rate_in_per_s),
                        u32(port.cancel_rate_in_per_s), u32(port.reject_streak_max), port.reject_latch_ms,
                        port.programme)  # fmt: skip

    def snapshot(self, engine: Engine) -> dict[str, object]:
        """What Model.snapshot shows, read from the engine."""
        state = engine.state
        return {
            "accounts": {name: self.account_snapshot(engine, index) for name, index in self.accounts.items()},
            "groups": {name: Usage(*probe.group_usage(state, index)) for name, index in self.groups.items()},
            "firm": Usage(*probe.firm_usage(state)),
            "strategies": [strategy_row(state, index) for index in range(self.strategy_count)],
            "units": [Usage(*probe.unit_usage(state, index)) for index in range(len(self.units))],
            "levels": dict(level_of(row) for row in queries.levels(engine)),
            "tickets": len(queries.tickets(engine)),
            "orders": [probe.order_row(state, number) for number in range(1, state.order_count + 1)],
        }

    def subject(self, subject: Subject) -> tuple[int, int, int]:
        """(kind, index, instrument) of a subject, as set_level takes them."""
        kind, name, place = subject
        if kind == "firm":
            return 3, 0, MOST_U32
        index = self.accounts[name] if kind == "account" else self.groups[name]
        if place is None:
            return 1 if kind == "account" else 2, index, MOST_U32
        return 4, index if kind == "account" else GROUP_OWNER | index, self.instruments[place]

    def account_snapshot(self, engine: Engine, index: int) -> dict[str, object]:
        view: dict[str, Any] = queries.account_view(engine, index)
        open_orders, _ = queries.orders_of(engine, index, True, 0, 10**6)
        assert view["open_orders"] == len(open_orders)
        positions = {
            (p["security_exchange"], p["symbol"]): (
                p["total_shares"], p["sellable_shares"], p["sell_held_shares"], p["bought_today_shares"],
                p["open_buy_shares"],
            )
            for p in view["positions"]
        }  # fmt: skip
        return {
            "cash": view["cash_e4"], "cash_held": view["cash_held_e4"], "event_seq": view["event_seq"],
            "open_orders": open_orders, "usage": Usage(*probe.account_usage(engine.state, index)),
            "positions": {key: row for key, row in sorted(positions.items()) if any(row)},
        }  # fmt: skip


def level_of(row: dict[str, Any]) -> tuple[Subject, tuple[int, int, int, int]]:
    kind = "account" if "account" in row else "group" if "group" in row else "firm"
    place = (row["security_exchange"], row["symbol"]) if "symbol" in row else None
    mask = sum(MASK_BITS[name] for name in row["mask"])
    return (kind, row.get(kind, ""), place), (row["level"], mask, row["throttle_per_s"], row["until_ns"])


def u32(limit: int) -> int:
    return min(limit, MOST_U32)


def scope(limits: ScopeLimits) -> tuple[int, int, int]:
    return limits.gross_limit, limits.long_limit, limits.short_limit


def turnover(limits: ScopeLimits) -> tuple[int, int]:
    return limits.order_value_per_day, limits.traded_value_per_day


def strategy_row(state: State, index: int) -> tuple[Usage, int, int]:
    """Open and filled notional, why it is off, rejects in a row."""
    usage, off, streak = probe.strategy_row(state, index)
    return Usage(*usage), off, streak


def account_limits(account: Account, limits: Limits) -> lt.AccountLimits:
    sides = {(exchange, symbol): {s for e, y, s in account.banned if (e, y) == (exchange, symbol)}
             for exchange, symbol, _ in account.banned}  # fmt: skip
    return lt.AccountLimits(
        limits.max_qty, limits.max_ntl, *scope(limits), limits.position_limit_shares, u32(limits.open_orders),
        u32(limits.open_orders_per_symbol), u32(limits.rate_out_per_s), u32(limits.rate_out_per_day),
        u32(limits.rate_symbol_per_s), limits.dup_window_ms, u32(limits.dup_max), mask(account.boards),
        mask(account.ord_types),
        tuple(lt.Restriction(int(symbol), exchange, mask(s)) for (exchange, symbol), s in sorted(sides.items())),
        limits.adv_bps, limits.float_bps, *limits.price_window, limits.instrument_long_limit,
        limits.instrument_short_limit, limits.position_float_bps, limits.concentration_bps, *turnover(limits),
        limits.loss_limit, lt.LOSS_ACTIONS[limits.loss_action], limits.basket_ntl, limits.basket_lines,
        limits.basket_gross_bps, limits.soft_ntl, limits.soft_qty,
    )  # fmt: skip


def static_instrument(model: Model, instrument: Instrument) -> StaticInstrument:
    rules = model.boards.get(instrument.board, BoardRules(0, 0, 0, 0))     # an index has none
    return StaticInstrument(
        symbol=int(instrument.symbol), venue=instrument.exchange, board=instrument.board, name=instrument.symbol,
        is_st=int(instrument.risk_warning), tick_e4=instrument.tick, buy_min_shares=rules.min_qty,
        buy_step_shares=rules.step_qty, max_limit_shares=instrument.max_limit_qty,
        max_market_shares=instrument.max_market_qty, prev_close_e4=instrument.prev_close,
        up_limit_e4=instrument.up_limit, down_limit_e4=instrument.down_limit, status=STATUSES[instrument.status],
        t_plus=int(not instrument.t0), float_shares=instrument.float_shares, adv20_shares=instrument.adv20_shares,
        risk_level=instrument.risk_level, shortable=int(instrument.shortable),
    )  # fmt: skip


def open_state(orders: int = 4_096) -> State:
    return State(accounts=64, positions=1_024, orders=orders)
