"""Three real shards under one limit of the firm: however hard all are pressed, together they stay within it."""
from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ext import replay
from gateway.journal_file import JournalFile
from gateway.topology import slot_of
from tests.redis_server import RedisServer
from tests.system.front import bearer, limit_order
from tests.system.limits import ROOMY
from tests.system.plant import DAY, Exchanges, Gateway, wait_until

SHARDS = 3
FIRM_YUAN, GROUP_YUAN = 600_000, 400_000
ORDER_YUAN = 990                      # 100 shares at 9.90
ACCOUNTS = {shard: [name for name in (f"L{number:04d}" for number in range(1, 41)) if slot_of(name) % SHARDS == shard]
            for shard in range(SHARDS)}  # fmt: skip


class Trio:
    """Shards 0 to 2; the firm's limit is narrow, as is that of the group that half of the accounts are in."""

    def __init__(self, exchanges: Exchanges, folder: Path) -> None:
        self.redis = RedisServer(folder / "redis").start()
        self.limits: dict[str, Any] = {}
        self.shards: list[Gateway] = []
        self.number = 0
        for shard in range(SHARDS):
            place = folder / f"shard-{shard}"
            place.mkdir()
            flags = ("--redis", self.redis.url, "--cluster", "q", "--shards", str(SHARDS), "--shard", str(shard))
            self.shards.append(Gateway(exchanges, place, "native", flags, self.narrow))

    def narrow(self, limits: dict[str, Any]) -> None:
        """The same file for each shard."""
        if self.limits:
            limits |= self.limits
            return
        wide = {"gross_limit_yuan": 10**9, "long_limit_yuan": 10**9, "short_limit_yuan": 10**9}
        limits["firm"] = wide | {"gross_limit_yuan": FIRM_YUAN, "capital_limit_yuan": 10**9}
        limits["groups"] = [{"id": "G1", **wide, "long_limit_yuan": GROUP_YUAN}]
        limits["profiles"] = {"roomy": ROOMY}
        for account in limits["accounts"]:
            if "ids" in account:
                account["ids"] = "L0001-L0020"
                in_group = account | {"ids": "L0021-L0040", "group": "G1"}
                in_group["shareholder"] = {"XSHG": "A900000001", "XSHE": "0900000001"}
        limits["accounts"].append(in_group)
        self.limits = dict(limits)

    def start(self) -> None:
        threads = [threading.Thread(target=shard.start) for shard in self.shards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        for shard in self.shards:
            shard.stop()
        self.redis.kill()

    def press(self, shards: list[int], seconds: float, accounts: slice) -> Counter[str]:
        """Orders as fast as they are answered, on these shards at once; how each came out, by code."""
        found: Counter[str] = Counter()
        lock, until = threading.Lock(), time.monotonic() + seconds

        def press_one(shard: int) -> None:
            names = [name for name in ACCOUNTS[shard] if accounts.start <= int(name[1:]) < accounts.stop]
            stub, symbols = self.shards[shard].stub(), self.shards[0].symbols["XSHG"]
            while time.monotonic() < until:
                with lock:
                    self.number += 1
                    number = self.number
                order = limit_order(f"q{number}", names[number % len(names)], symbols[number % len(symbols)])
                report = stub.Submit(order, **bearer("load"))
                with lock:
                    found[report.reject_code or "accepted"] += 1
                if report.reject_code:
                    time.sleep(0.01)

        threads = [threading.Thread(target=press_one, args=(shard,)) for shard in shards]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def leased(self, shard: int, kind: str = "gross") -> float:
        return figure(self.shards[shard].metrics(), f'tidegate_quota_leased_yuan{{kind="{kind}"}}')


def figure(metrics: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", metrics, re.M)
    assert found is not None, f"{name}: not among the metrics"
    return float(found[1])


@pytest.fixture(scope="module")
def trio(exchanges: Exchanges, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    running = Trio(exchanges, tmp_path_factory.mktemp("trio"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_three_shards_stay_within_one_limit_through_crash_and_loss_of_redis(trio: Trio) -> None:
    own = slice(1, 21)
    # 1. A shard that dies keeps what it has leased: the others get the rest and no more.
    trio.press([0, 1, 2], 0.5, own)
    held_by_0 = trio.leased(0)
    trio.shards[0].kill()
    first = trio.press([1, 2], 4.0, own)
    assert {"accepted", "R1612"} <= set(first), first
    report = refusal(trio, 1)
    assert re.fullmatch(r"R1612 QUOTA v=\d+ lim=\d+ rule=system-tests@3 scope=firm", report.text), report.text
    accepted = accepted_yuan(trio)
    assert accepted <= FIRM_YUAN - held_by_0 + used_yuan(trio, 0)
    # 2. Back again it says what it uses, and what it does not need goes to the others.
    trio.shards[0].start()
    second = trio.press([1, 2], 6.0, own)
    assert accepted_yuan(trio) > accepted, (second, held_by_0)
    assert accepted_yuan(trio) <= FIRM_YUAN
    # 3. Redis away: what is leased goes on, nothing grows; back and empty: no more than before is shared out.
    trio.redis.kill()
    wait_until(lambda: trio.shards[1].child.logged("quota_redis_away"), "the log says that Redis is away")
    trio.press([0, 1, 2], 0.5, own)
    trio.redis.wipe()
    trio.redis.start()
    wait_until(lambda: figure(trio.shards[1].metrics(), "tidegate_quota_whole") == 1, "all have said what they hold")
    trio.press([0, 1, 2], 4.0, own)
    assert FIRM_YUAN * 0.9 <= accepted_yuan(trio) <= FIRM_YUAN


def test_a_group_over_three_shards_stays_within_its_limit(trio: Trio) -> None:
    """The firm's limit is used up by now; the group's own sums are seen in what is leased of it."""
    client = trio.redis.client()
    found = client.hgetall(f"tidegate:q:quota:{DAY.replace('-', '')}:group:G1")
    row = {key.decode(): value.decode() for key, value in found.items()}
    shares = [int(row.get(f"{shard:02d}:long", 0)) for shard in range(SHARDS)]
    assert all(shares)
    assert sum(shares) <= GROUP_YUAN * 10_000 == int(row["limit:long"])
    report = trio.shards[1].stub().Submit(
        limit_order("g1", ACCOUNTS[1][-1], trio.shards[0].symbols["XSHG"][0], qty=50_000), **bearer("load"))
    assert report.reject_code in ("R1612", "R1303")


def refusal(trio: Trio, shard: int) -> Any:
    for attempt in range(50):
        order = limit_order(f"r{attempt}", ACCOUNTS[shard][0], trio.shards[0].symbols["XSHG"][0])
        report = trio.shards[shard].stub().Submit(order, **bearer("load"))
        if report.reject_code == "R1612":
            return report
    raise AssertionError("none was refused")


def accepted_yuan(trio: Trio) -> int:
    """Worst-case notional of all accepted orders, from the journals: nothing is cancelled or filled here."""
    return sum(used_yuan(trio, shard) for shard in range(SHARDS))


def used_yuan(trio: Trio, shard: int) -> int:
    path = trio.shards[shard].journal / f"{DAY.replace('-', '')}-{shard:02d}.journal"
    file = JournalFile(path, writable=False)
    try:
        orders = [fields for *_, name, _, fields in replay.frames(file.journal) if name == "ORDER"]
        return ORDER_YUAN * sum(order["code"] == 1 for order in orders)
    finally:
        file.close()
