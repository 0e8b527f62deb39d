"""Everybody but the steady clients: orders for the other exchange, and on a signal a storm. Judges nothing.

Prints one line of JSON once every session is in, and one more for each storm. SIGUSR1: a session that never reads, then
all others are dropped and come back.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from statistics import median

import numpy as np
import uvloop

from ext.codes import VENUES
from loadtest.drive import Drive, Endpoint, Sessions
from loadtest.measure import NEW_ORDER
from loadtest.plan import Plan
from loadtest.runner import Options, prepare
from loadtest.scenario import TOKEN
from loadtest.schedule import Pace
from loadtest.sources import REST
from loadtest.storms import Storm, Wave

S = 1_000_000_000
STEADY_ACCOUNTS = 4_000
OTHER_ACCOUNTS = 100
PER_S = 500
RUN_S = 15
FIRST_STORM_ACCOUNT = STEADY_ACCOUNTS + OTHER_ACCOUNTS


def account(number: int) -> str:
    return f"LT{number + 1:06d}"


def only(plan: Plan, kept: "np.ndarray") -> Plan:
    """The plan's requests that are kept; a cancel stays with its order."""
    number = np.cumsum(kept, dtype=np.int32) - 1
    cancel_of = plan.cancel_of[kept]
    arrays = {name: getattr(plan, name)[kept] for name in (
        "planned_ns", "kind", "account", "touch", "symbol", "venue", "side", "ord_type", "order_qty_shares",
        "price_e4", "price_rule", "expected_code")}
    return replace(plan, cancel_of=np.where(cancel_of >= 0, number[cancel_of], -1).astype(np.int32), **arrays)


def other_plan() -> Plan:
    """Orders that rest on Shenzhen, from accounts of their own."""
    plan = prepare(Options(Pace(2 * PER_S, RUN_S * S), accounts=STEADY_ACCOUNTS, bad_share=0.0, seed=2))[2]
    plan = only(plan, (plan.venue == VENUES["XSHE"]) & (plan.kind == NEW_ORDER))
    plan.accounts = [account(STEADY_ACCOUNTS + number) for number in range(OTHER_ACCOUNTS)]
    plan.account = (plan.account % OTHER_ACCOUNTS).astype(np.int32)
    plan.side[:] = 1
    plan.price_rule[:] = REST
    return plan


def figures(wave: Wave, storm: Storm) -> dict[str, object]:
    answers_ms = [took / 1e6 for took in wave.logons_ns] or [0.0]
    return {
        "sessions": len(storm.sessions), "took_s": wave.took_s, "retries": wave.retries,
        "failures": wave.failures[:3], "logon_p50_ms": median(answers_ms), "logon_max_ms": max(answers_ms),
    }


async def main(host: str, port: int, sessions: int, shared_share: float) -> None:
    os.nice(10)
    target = Endpoint(host, port)
    names = [[account(FIRST_STORM_ACCOUNT + number)] for number in range(sessions)]
    storm = Storm(target, TOKEN, names, sessions - int(sessions * shared_share))
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, asked.set)
    loop.add_signal_handler(signal.SIGTERM, lambda: os._exit(0))
    print(json.dumps(figures(await storm.come(), storm) if sessions else {}), flush=True)
    drive = Drive(other_plan(), Sessions(target, TOKEN, 1), drain_s=0.1)
    flow = loop.create_task(drive.run())
    await asked.wait()
    silent = Storm(target, TOKEN, [[account(number) for number in range(0, STEADY_ACCOUNTS, 4)]], 1)
    await silent.come()
    silent.sessions[0].stop_reading()
    storm.drop()
    print(json.dumps(figures(await storm.come(), storm)), flush=True)
    await flow
    await asyncio.sleep(60)


if __name__ == "__main__":
    address, _, number = sys.argv[1].rpartition(":")
    uvloop.run(main(address, int(number), int(sys.argv[2]), float(sys.argv[3])))
