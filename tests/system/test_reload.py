"""Rules pushed again and again to a real gateway under load: no order is lost, and none is judged by two rule sets."""
from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.runner import Options, run_load
from loadtest.schedule import Pace
from tests.reloads import RULE, Pusher, check_journal

SECOND = 10**9
PACE = Pace(2_000, 4 * SECOND)


@pytest.fixture
def pusher(tmp_path: Path) -> Pusher:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "pushed.yaml").write_text(RULE)
    (folder / "pushed_test.yaml").write_text("schema: 1\ntests:\n- name: t\n")
    return Pusher(folder, 0.05)


@pytest.mark.timeout(180)
def test_no_order_is_lost_or_judged_by_a_mix(pusher: Pusher, tmp_path: Path) -> None:
    kept = tmp_path / "run"
    kept.mkdir()
    report = run_load(Options(
        PACE, bad_share=0.0, accounts=200, background_per_s=50.0, out=None, keep=kept, rules=None,
        gateway_flags=pusher.flags, beside=pusher.beside))  # fmt: skip
    assert not pusher.faults
    assert len(pusher.pushed) >= 10
    assert pusher.pushed == list(range(pusher.pushed[0], pusher.pushed[0] + len(pusher.pushed)))
    assert (report.counts.lost, report.counts.repeated, report.counts.disorder) == (0, 0, 0), report.reasons
    (journal,) = (kept / "journal").glob("*.journal")
    judged = check_journal(journal)
    assert sum(judged.orders.values()) == report.counts.orders
    assert len(judged.orders) >= 10
    assert set(judged.orders) <= {1, *pusher.pushed}
