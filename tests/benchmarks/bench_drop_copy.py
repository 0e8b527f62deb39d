"""A journal's reports into a real Redis Stream by the drop copy, against plain pipelined XADDs of the same entries."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ext import tape
from gateway.drop_child import DropSettings
from gateway.drop_copy import DropCopy, arguments_of
from gateway.tasks import end_tasks
from tests.benchmarks.bench_core import START_NS, messages, rig, row
from tests.redis_server import RedisServer

DAY = 20261123
ACCOUNTS = 1_000
REPORTS = 200_000
AT_ONCE = 1_024
NAMES = ("account", "event_seq", "exec_type", "seq", "report")
STREAM = "tidegate:bench:drop:00"


def copied_per_s(settings: DropSettings, end: int, server: RedisServer) -> float:
    """From an empty stream to the whole journal in it."""

    async def run() -> float:
        copy = DropCopy(settings, server.url)
        copy.safe_end = end
        copy.told.set()
        began = time.perf_counter()
        task = asyncio.create_task(copy.copy_always())
        while copy.added < REPORTS:
            await asyncio.sleep(0.005)
        taken_s = time.perf_counter() - began
        await end_tasks([task])
        return taken_s

    server.client().delete(STREAM)
    return REPORTS / asyncio.run(run())


def added_per_s(reports: list[Any], server: RedisServer) -> float:
    """The same entries by a client that promises nothing."""
    client = server.client()
    client.delete(STREAM)
    began = time.perf_counter()
    for first in range(0, len(reports), AT_ONCE):
        pipe = client.pipeline(transaction=False)
        for report in reports[first : first + AT_ONCE]:
            number, *values = arguments_of(DAY, [report])
            pipe.xadd(STREAM, dict(zip(NAMES, values, strict=True)), id=number)
        pipe.execute()
    return len(reports) / (time.perf_counter() - began)


def run(runs: int = 5) -> dict[str, dict[str, Any]]:
    """drop_copy_reports_per_s."""
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name) / "redis", appendfsync="everysec") as server:
        built = rig(Path(name), ACCOUNTS, orders=2 * REPORTS)
        blob, ends = messages(ACCOUNTS, REPORTS, 0, 7)
        start = 0
        for at, end in enumerate(ends.tolist()):
            tape.feed(built.session, blob[start:end], START_NS + at * 1_000_000)
            tape.taken(built.session)
            start = end
        journal = built.engine.journal
        Path(journal.path).rename(Path(name) / f"{DAY}-00.journal")
        state = built.engine.state
        settings = DropSettings(
            fd=-1, folder=name, cluster="bench", shard=0, trade_date=DAY, cpus=(0,), most_accounts=state.most_accounts,
            most_positions=state.most_positions, most_orders=state.most_orders,
        )  # fmt: skip
        rates = [copied_per_s(settings, journal.end, server) for _ in range(runs)]
        reader = DropCopy(settings, server.url).opened(Path(name) / f"{DAY}-00.journal", journal.end)
        plain = added_per_s(reader.take(REPORTS), server)
        built.journal_file.close()
    rate = statistics.median(rates)
    note = f"{REPORTS:,} reports; the baseline adds the same entries {AT_ONCE:,} at a time, and never asks where it is"
    return {"drop_copy_reports_per_s": row(rate, "reports/s", rates, baseline=plain, ratio=rate / plain, note=note)}


if __name__ == "__main__":
    for key, figures in run(3).items():
        print(key, figures)
