"""What a day leaves to the next, over real journal files and the gateway's own opening of them."""
from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ext import queries, response, sweeps
from ext.journal import JournalError
from gateway.journal_compact import Compaction
from gateway.opening import begin_day, load_files, open_engine
from gateway.settings import Settings
from tests.test_limits import GOOD
from tests.test_reference import HEADER, MAIN

ACCOUNT, GROUP, FIRM, POSITION = 1, 2, 3, 4
KILL_ACCOUNT, KILL_FIRM = 2, 4
BANNED = "600000,XSHG,MAIN,Banned,0,100,100,100,1000000,1000000,100000,110000,90000,NORMAL,1,1"
GROUP_OWNER = 2**31


class Day:
    """One gateway's files, opened on one day after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.limits = folder / "limits.yaml"
        self.limits.write_text(GOOD)
        (folder / "instruments.csv").write_text("\n".join([HEADER, MAIN, BANNED, ""]))

    def settings(self, day: int) -> Settings:
        return Settings(
            limits=self.limits, instruments=self.folder / "instruments.csv", journal=self.folder, host="", port=0,
            transport="native", venues=(), tls_cert=None, tls_key=None, cpu=None, awake=False, metrics_port=None,
            trade_date=day, shard=0, comp_id="GW", pbu="P", venue_password="", max_orders=4_096, debug=False,
        )  # fmt: skip

    def opened(self, day: int) -> tuple[Any, Any, dict[str, Any]]:
        """(journal file, engine, what was logged as carried over)"""
        logged: dict[str, Any] = {}
        settings = self.settings(day)
        files = load_files(settings, None)

        def log(event: str, **fields: Any) -> None:
            logged[event] = fields

        file, engine, _ = open_engine(settings, files, log)
        begin_day(settings, files, engine, log)
        return file, engine, logged.get("carried_over", {})


@pytest.fixture
def day(tmp_path: Path) -> Day:
    return Day(tmp_path)


def raise_levels(engine: Any) -> None:
    now_ns = time.time_ns()
    a1 = queries.account_index(engine, "A1")
    frozen = queries.account_index(engine, "LT099")
    instrument = queries.instrument_index(engine, 1, "600519")
    later = now_ns + 10**12
    response.set_level(engine, ACCOUNT, a1, 4, mask=1, by="ann", reason="too fast", now_ns=now_ns)
    response.set_level(engine, GROUP, 0, 4, mask=4, until_ns=later, by="ann", now_ns=now_ns)
    response.set_level(engine, POSITION, a1, 5, instrument=instrument, rule=3, rule_set=2, now_ns=now_ns)
    response.set_level(engine, POSITION, GROUP_OWNER, 3, instrument=instrument, throttle_per_s=5, rule=1, now_ns=now_ns)
    response.set_level(engine, ACCOUNT, frozen, 6, by="ann", reason="wash trades", now_ns=now_ns)
    response.open_ticket(engine, GROUP, 0, by="bob", reason="look at G1", now_ns=now_ns)
    sweeps.kill(engine, KILL_ACCOUNT, a1 + 1, True, "ann", now_ns)


def test_a_new_day_begins_with_who_was_stopped(day: Day) -> None:
    file, engine, carried = day.opened(20261123)
    assert carried["source"] == "no older journal"
    raise_levels(engine)
    file.close()
    _, engine, carried = day.opened(20261124)
    counts = {"levels": 3, "kills": 2, "strategies": 0, "tickets": 1, "lost": []}
    assert carried == {"source": "20261123-00.journal", **counts}
    rows = [(row.get("account", row.get("group")), row["level"], row["mask"], row["by"], row["reason"])
            for row in queries.levels(engine)]  # fmt: skip
    assert rows == [
        ("A1", 4, ["NO_BUY"], "ann", "since 20261123: too fast"),
        ("LT099", 6, [], "ann", "since 20261123: wash trades"),
        ("A1", 5, [], "rule", "since 20261123: rule 3 of set 2"),
    ]
    reviews = [(row.get("account", row.get("group")), row["is_open"], row["reason"]) for row in queries.tickets(engine)]
    assert reviews == [("LT099", True, "since 20261123: wash trades"), ("G1", True, "since 20261123: look at G1")]


def test_it_happens_once_and_reaches_the_day_after(day: Day) -> None:
    file, engine, _ = day.opened(20261123)
    raise_levels(engine)
    file.close()
    del engine, file
    file, engine, _ = day.opened(20261124)
    before = engine.state.hash()
    file.close()
    del engine, file
    file, engine, carried = day.opened(20261124)
    assert carried == {}
    assert engine.state.hash() == before
    account = queries.account_index(engine, "A1")
    response.release_level(engine, ACCOUNT, account, 0, by="bob", now_ns=time.time_ns())
    file.close()
    _, engine, carried = day.opened(20261127)
    assert carried["levels"] == 2
    assert queries.levels(engine)[0]["reason"] == "since 20261123: wash trades"


def test_an_account_that_is_gone_is_named(day: Day) -> None:
    file, engine, _ = day.opened(20261123)
    raise_levels(engine)
    sweeps.kill(engine, KILL_FIRM, 0, True, "ann", time.time_ns())
    file.close()
    day.limits.write_text(GOOD.replace("LT098-LT101", "LT100-LT101"))
    _, _, carried = day.opened(20261124)
    assert carried["lost"] == ["level of LT099", "kill of LT099"]
    assert (carried["levels"], carried["kills"]) == (2, 2)


def test_an_older_journal_that_cannot_be_read_stops_the_start(day: Day) -> None:
    file, _, _ = day.opened(20261123)
    file.close()
    path = day.folder / "20261123-00.journal"
    octets = bytearray(path.read_bytes()[: file.journal.end])
    octets[200] ^= 1
    path.write_bytes(octets)
    with pytest.raises(JournalError, match="20261123-00"):
        day.opened(20261124)


def test_a_strategy_that_is_off_stays_off(day: Day) -> None:
    strategies = "strategies: [{id: grid, gross_limit_yuan: 1}, {id: twap, gross_limit_yuan: 1}]\n"
    day.limits.write_text(GOOD.replace("groups:\n", strategies + "groups:\n"))
    file, engine, _ = day.opened(20261123)
    sweeps.switch_strategy(engine, 1, 1206, "test", time.time_ns())
    file.close()
    file, engine, carried = day.opened(20261124)
    assert carried["strategies"] == 1
    assert [(row["id"], row["off"]) for row in queries.strategies(engine)] == [("grid", 0), ("twap", 1206)]
    sweeps.rearm(engine, 1, "ann", time.time_ns())
    file.close()
    _, engine, carried = day.opened(20261127)
    assert (carried["strategies"], queries.strategies(engine)[1]["off"]) == (0, 0)


def test_a_day_that_was_compressed_leaves_the_same(day: Day) -> None:
    file, engine, _ = day.opened(20261123)
    raise_levels(engine)
    file.close()
    assert list(Compaction(day.folder, None, False, False, today=20261124).run())
    assert not (day.folder / "20261123-00.journal").exists()
    _, engine, carried = day.opened(20261124)
    assert (carried["source"], carried["levels"], carried["kills"]) == ("20261123-00.journal", 3, 2)
    with pytest.raises(JournalError, match="this day is over: its journal is compressed"):
        day.opened(20261123)
