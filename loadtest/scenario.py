"""Writes what a load run starts from: instruments, limits, positions, who may watch. Starts nothing."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from loadtest.alerts import TOKEN as WATCH_TOKEN
from loadtest.plan import POOR_COUNT, Plan, holdings
from loadtest.scene import SCENE_ACCOUNT
from loadtest.universe import Instrument, write_instruments

TOKEN = "load"
POSITION_SHARES = 500_000_000
ORD_TYPES = {
    "MAIN": "LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, MARKET_OWN_BEST, MARKET_OPPOSITE_BEST, MARKET_IOC,\n"
    "         MARKET_FOK",
    "STAR": "LIMIT, MARKET_BEST5_CANCEL, MARKET_BEST5_LIMIT, MARKET_OWN_BEST, MARKET_OPPOSITE_BEST",
    "CHINEXT": "LIMIT, MARKET_BEST5_CANCEL, MARKET_OWN_BEST, MARKET_OPPOSITE_BEST, MARKET_IOC, MARKET_FOK",
}
# Limits wide enough that a good order of the plan never meets one; what is tested by bad orders stays as tight as ever.
LIMITS = """\
schema: 1
rule_set: {{id: load, version: 1}}
fees: {{commission_rate_pct: 0.025, commission_min_yuan: 5, transfer_rate_pct: 0.001, handling_rate_pct: 0.00341,
       regulatory_rate_pct: 0.002, stamp_rate_pct: 0.05}}
boards:
  MAIN: {{buy_min_shares: 100, step_shares: 100, odd_lot_shares: 100, max_limit_shares: 1000000,
         max_market_shares: 1000000, cage_bps: 200, cage_ticks: 10, ord_types: [{MAIN}]}}
  STAR: {{buy_min_shares: 200, step_shares: 1, odd_lot_shares: 200, max_limit_shares: 100000,
         max_market_shares: 50000, cage_bps: 200, cage_ticks: 0, ord_types: [{STAR}]}}
  CHINEXT: {{buy_min_shares: 100, step_shares: 100, odd_lot_shares: 100, max_limit_shares: 300000,
            max_market_shares: 150000, cage_bps: 200, cage_ticks: 10, ord_types: [{CHINEXT}]}}
collars:
  OPEN_CALL: {{bps: 1000, ticks: 20}}
  CONTINUOUS: {{bps: 500, ticks: 20}}
  CLOSE_CALL: {{bps: 500, ticks: 20}}
market_data: {{max_age_ms: 10000}}
firm: {{gross_limit_yuan: 100000000000000, long_limit_yuan: 100000000000000, short_limit_yuan: 100000000000000,
       capital_limit_yuan: 100000000000000}}
groups: []
profiles:
  load: {{max_qty_shares: 1000000, max_ntl_yuan: 1000000000, gross_limit_yuan: 1000000000000,
         long_limit_yuan: 1000000000000, short_limit_yuan: 1000000000000, position_limit_shares: 1000000000000,
         open_orders: 100000, open_orders_per_symbol: 100000, rate_out_per_s: 100000, rate_out_per_day: 100000000,
         rate_symbol_per_s: 100000, dup_window_ms: 1, dup_max: 1000, boards: [MAIN, STAR, CHINEXT],
         ord_types: [{MAIN}], restricted: []}}
accounts:
  - {{ids: LT000001-LT{accounts:06d}, profile: load, shareholder: {{XSHG: A200000001, XSHE: "0200000001"}},
     cash_yuan: 1000000000000}}
  - {{ids: LP000001-LP{poor:06d}, profile: load, shareholder: {{XSHG: A300000001, XSHE: "0300000001"}}, cash_yuan: 1}}
  - {{id: {scene}, profile: load, shareholder: {{XSHG: A400000001, XSHE: "0400000001"}}, cash_yuan: 1000000000000}}
positions_file: positions.csv
tokens:
  - {{token_sha256: {token}, accounts: ["LT*", "LP*", "LX*"], rate_in_per_s: 10000000, cancel_rate_in_per_s: 10000000,
     reject_streak_max: 1000000000, reject_latch_ms: 1}}
"""
CONTROL = """\
schema: 1
people:
  - {{name: load-watch, roles: [viewer], token_sha256: {token}}}
"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """The files of one run, in one directory."""

    folder: Path

    @property
    def instruments(self) -> Path:
        return self.folder / "instruments.csv"

    @property
    def limits(self) -> Path:
        return self.folder / "limits.yaml"

    @property
    def positions(self) -> Path:
        return self.folder / "positions.csv"

    @property
    def control(self) -> Path:
        return self.folder / "control.yaml"

    @property
    def alerts(self) -> Path:
        return self.folder / "alerts.jsonl"

    @property
    def journal(self) -> Path:
        return self.folder / "journal"


def sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def write_scenario(folder: Path, universe: list[Instrument], plan: Plan, accounts: int, lanes: int) -> Scenario:
    """Instruments, limits and positions under which every good order of the plan can pass."""
    folder.mkdir(parents=True, exist_ok=True)
    scenario = Scenario(folder)
    write_instruments(scenario.instruments, universe)
    scenario.limits.write_text(
        LIMITS.format(accounts=accounts, poor=POOR_COUNT, scene=SCENE_ACCOUNT, token=sha256(TOKEN), **ORD_TYPES)
    )
    scenario.control.write_text(CONTROL.format(token=sha256(WATCH_TOKEN)))
    with scenario.positions.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("account", "symbol", "security_exchange", "total_shares", "sellable_shares"))
        for account, share in holdings(plan, accounts, lanes):
            writer.writerow((account, share.symbol, share.security_exchange, POSITION_SHARES, POSITION_SHARES))
    return scenario
