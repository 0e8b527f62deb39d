"""The benchmark runner: what it writes, keeps and compares."""

import json

import pytest

from tests.benchmarks import __main__ as runner


@pytest.mark.parametrize(("value", "target", "verdict"), [
    (20.0, ">= 20", True), (19.9, ">= 20", False), (149, "< 150", True), (150, "< 150", False), (1, "", None),
])
def test_reached(value, target, verdict):
    assert runner.reached({"value": value, "unit": "x", "target": target}) is verdict


def test_written_figures_are_merged_by_key(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "OUT", tmp_path / "out" / "bench.json")
    runner.write({"a": {"value": 1, "unit": "us", "runs": [1]}, "b": {"value": 2, "unit": "x"}})
    runner.write({"b": {"value": 3, "unit": "x", "baseline": 1.5, "ratio": 2, "note": "not written"}})
    assert json.loads(runner.OUT.read_text()) == {
        "a": {"value": 1, "unit": "us", "baseline": None, "ratio": None, "runs": [1]},
        "b": {"value": 3, "unit": "x", "baseline": 1.5, "ratio": 2, "runs": None},
    }


def test_modules_are_found_by_name():
    assert "limits" in runner.modules([])
    with pytest.raises(SystemExit, match="--only: got nothing_such"):
        runner.modules(["nothing_such"])
