"""The report of a load run: judged rightly, read back whole, and shown by a real browser."""

import shutil
import subprocess
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from loadtest.measure import latency
from loadtest.page import render_page, write_page, write_svg
from loadtest.report import Objectives, Report, read_json, write_json
from tests.load_samples import Pace, S, Surge, sample_outcome, sample_report

PACE = Pace(1_000, 20 * S, (Surge(6 * S, S, 20_000), Surge(13 * S, S, 50_000)))
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def outcome():
    return sample_outcome(PACE)


@pytest.fixture(scope="module")
def report(outcome):
    return sample_report(outcome)


def test_a_clean_run_passes_and_says_so_in_one_line(report):
    assert (report.verdict, report.reasons) == ("PASS", [])
    assert report.summary().startswith("PASS | base 1,000/s")
    assert report.summary().endswith("| lost 0")
    assert "\n" not in report.summary()


def test_percentiles_equal_numpy_on_the_raw_times(outcome, report):
    acks = outcome.since_planned(outcome.acked_ns, outcome.orders) / 1e3
    row = report.find("order to exchange ack")
    for share, shown in ((0.5, row.p50_us), (0.99, row.p99_us), (0.999, row.p99_9_us)):
        assert shown == pytest.approx(np.quantile(acks, share), rel=0.003)
    assert row.max_us == acks.max()
    assert HdrHistogram.decode(row.hdr).get_total_count() == row.count


def test_windows_add_up_to_the_run(outcome, report):
    assert sum(window.planned for window in report.windows) == outcome.planned_ns.size
    assert len(report.windows) == 200
    inside = outcome.orders & (outcome.planned_ns // 100_000_000 == 135) & (outcome.acked_ns >= 0)
    worst = (outcome.acked_ns - outcome.planned_ns)[inside].max() / 1e3
    assert report.windows[135].ack_max_us == worst


def changed(outcome, **arrays):
    fresh = {
        name: values.copy()
        for name, values in (
            ("sent_ns", outcome.sent_ns),
            ("decided_ns", outcome.decided_ns),
            ("acked_ns", outcome.acked_ns),
            ("reject_code", outcome.reject_code),
            ("expected_code", outcome.expected_code),
        )
    }
    for name, (where, value) in arrays.items():
        fresh[name][where] = value
    return replace(outcome, **fresh)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sent_ns", -1, "never sent: 1"),
        ("acked_ns", -1, "never answered: 1"),
        ("reject_code", 1301, "good orders rejected: 1"),
    ],
)
def test_one_bad_order_fails_the_run(outcome, name, value, reason):
    victim = int(np.flatnonzero(outcome.orders & (outcome.expected_code == 0))[17])
    failed = sample_report(changed(outcome, **{name: (victim, value)}))
    assert failed.verdict == "FAIL"
    assert any(reason in text for text in failed.reasons)
    assert failed.summary().startswith("FAIL")


def test_a_bad_order_let_through_fails_the_run(outcome):
    victim = int(np.flatnonzero(outcome.expected_code)[3])
    let_through = changed(outcome, reject_code=(victim, 0), acked_ns=(victim, outcome.planned_ns[victim] + 1_000))
    failed = sample_report(let_through)
    assert any("were not rejected as they must be: 1" in text for text in failed.reasons)
    assert [(row.code, row.missing) for row in failed.rejects] == [("R1105", 1)]


@pytest.mark.parametrize("name", ["repeated_count", "disorder_count", "stray_count"])
def test_doubled_and_disordered_events_fail_the_run(outcome, name):
    assert sample_report(replace(outcome, **{name: 2})).verdict == "FAIL"


def test_objectives_decide(outcome):
    missed = sample_report(outcome, Objectives(ack_p99_us=300.0, decision_p99_us=10.0))
    assert len(missed.reasons) == 2
    assert "expected under 300 us" in missed.reasons[1]


def test_json_is_read_back_whole_and_checked(report, tmp_path):
    path = tmp_path / "report.json"
    write_json(report, path)
    assert read_json(path) == report
    path.write_bytes(msgspec.json.encode(msgspec.structs.asdict(report) | {"base_rate_per_s": "many"}))
    with pytest.raises(msgspec.ValidationError, match="base_rate_per_s"):
        read_json(path)


def test_the_page_reaches_for_nothing(report):
    page = render_page(report)
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "<script" not in page
    assert page.count("<svg") == 2


def test_a_run_without_answers_still_draws(outcome):
    silent = replace(
        outcome,
        decided_ns=np.full_like(outcome.decided_ns, -1),
        acked_ns=np.full_like(outcome.acked_ns, -1),
        reject_code=np.zeros_like(outcome.reject_code),
    )
    page = render_page(sample_report(silent))
    assert "never answered: 88,364" in page


def test_text_from_outside_is_escaped(report):
    assert "<b>x</b>" not in render_page(msgspec.structs.replace(report, flow="<b>x</b>"))


def test_latency_of_nothing_is_zero():
    assert latency("empty", np.array([], dtype=np.int64)).max_us == 0.0


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("name", ["report.html", "latency.svg"])
def test_a_real_browser_shows_it_without_a_complaint(report: Report, tmp_path, name):
    page, picture = tmp_path / name, tmp_path / "page.png"
    (write_page if name.endswith("html") else write_svg)(report, page)
    shot = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--window-size=1100,1800",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "CONSOLE" not in shot.stderr
    assert picture.stat().st_size > 20_000
