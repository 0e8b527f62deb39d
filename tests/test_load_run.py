"""A whole load run: real exchanges, gateway, sessions, files; and the mirror it is compared to."""

import asyncio
import os

import pytest
import uvloop

from ext.buffers import Turn
from gateway.transport import serve
from loadtest.cpu_use import CpuUse, cpu_s
from loadtest.drive import Drive, Endpoint, Sessions
from loadtest.measure import CANCEL_ORDER
from loadtest.mirror import mirror_service
from loadtest.plan import BAD_KINDS, make_plan
from loadtest.report import read_json
from loadtest.runner import Options, run_load
from loadtest.schedule import Pace, Surge, planned_times_ns
from loadtest.sources import mixed, parse_mix
from loadtest.universe import generate_universe

S = 1_000_000_000


@pytest.mark.timeout(180)
def test_orders_pass_through_both_exchanges_and_none_is_lost(tmp_path):
    pace = Pace(300, 4 * S, (Surge(2 * S, S // 2, 2_000),))
    said = []
    report = run_load(
        Options(
            pace,
            accounts=64,
            lanes=4,
            sessions=2,
            bad_share=0.05,
            background_per_s=50.0,
            out=tmp_path,
            keep=tmp_path / "kept",
            drain_s=30.0,
        ),
        say=said.append,
    )
    assert report.verdict == "PASS", report.reasons
    counts = report.counts
    assert counts.sent == counts.planned == counts.answered
    assert counts.trades > 0
    assert {row.code for row in report.rejects if row.expected} == {f"R{code}" for code in BAD_KINDS.values()}
    assert {stage.name for stage in report.gateway_stages} >= {"decided", "acked"}
    assert sum("flow" in line for line in said) == 1
    assert "gateway" in report.notes[0]
    rules = report.surveillance
    assert rules.rule_set.startswith("cn-equity@")
    assert (rules.missing, rules.benign_stopped, rules.scene) == (0, 0, None)
    assert "0 benign" in report.summary()
    assert read_json(tmp_path / "report.json") == report
    assert (tmp_path / "report.html").stat().st_size > 10_000


@pytest.mark.timeout(180)
def test_flash_cancels_are_caught_told_and_stopped(tmp_path):
    pace = Pace(100, 19 * S)
    options = Options(pace, accounts=64, lanes=4, background_per_s=50.0, out=tmp_path, drain_s=30.0, scene=True)
    report = run_load(options)
    assert report.verdict == "PASS", report.reasons
    scene = report.surveillance.scene
    assert scene.refused == scene.late_orders > 0
    assert scene.flash_cancels > 500
    whats = [alert.what for alert in scene.alerts]
    assert [what.split()[0] for what in whats] == ["Z06003@1", "level", "Z06003@1", "level"]
    assert whats[3] == "level L4 set for 30 min"
    assert scene.alerts[2].factors[0] == "cancels(day, within=1 s): 501, limit 500"
    assert all(alert.after_ms < 5_000 for alert in scene.alerts)
    assert report.surveillance.benign_stopped == 0
    page = (tmp_path / "report.html").read_text()
    assert "A burst of flash cancels" in page
    assert "cancels(day, within=1 s): 501, limit 500" in page


def test_the_mirror_answers_everything_at_once():
    async def mirrored():
        turn = Turn(asyncio.get_running_loop().call_soon)
        server = await serve("native", mirror_service(turn), turn, "127.0.0.1", 0)
        try:
            drive = Drive(plan, Sessions(Endpoint("127.0.0.1", server.port), "load", 3), settle_s=0.1)
            return await drive.run()
        finally:
            await server.close()

    times = planned_times_ns(Pace(2_000, S), "poisson", 1)
    source = mixed(generate_universe(5), len(times), 2, 3, parse_mix("new=70,cancel=20,cross=10"))
    plan = make_plan(source, times, accounts=40, lanes=2, bad_share=0.0, seed=3)
    outcome, _ = uvloop.run(mirrored())
    assert outcome.answered.all()
    assert (outcome.repeated_count, outcome.disorder_count, outcome.stray_count, outcome.malformed_count) == (
        0,
        0,
        0,
        0,
    )
    assert (outcome.kind == CANCEL_ORDER).sum() > 100


def test_cpu_use_names_who_used_it():
    before = CpuUse.read({"me": os.getpid(), "gone": 2**22 + 1})
    while cpu_s(os.getpid()) - before.processes["me"] < 0.05:
        sum(range(10_000))
    line = CpuUse.read({"me": os.getpid(), "gone": 2**22 + 1}).since(before)
    assert line.startswith("CPU used: me 0.")
    assert "gone 0.00 s" in line
