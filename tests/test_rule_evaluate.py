"""The evaluation finds the shipped rulebook good, and nothing that misses abnormal flow or stops benign flow."""
from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import risk_rules
from risk_rules.evaluate_command import evaluate
from risk_rules.load import load_rules, rule_files
from risk_rules.scenarios.cases import CASES
from risk_rules.scenarios.evaluate import SCALES, run_all, totals
from risk_rules.scenarios.flows import FLOWS

FOLDER = Path(risk_rules.__file__).parent


def changed(folder: Path, name: str, before: str, after: str) -> Path:
    """One shipped rule file with its tests, changed."""
    text = (FOLDER / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after))
    tests = name.replace(".yaml", "_test.yaml")
    (folder / tests).write_text((FOLDER / tests).read_text())
    return folder / name


@pytest.mark.parametrize("only", ["Z01201", "Z0320", "P-MINUTE", "H-BIG", "J-Com", "莫建军", "李健", "at the close"])
def test_the_shipped_rulebook_is_good(only):
    outcomes = run_all(rule_files(FOLDER), only=only)
    assert [outcome for outcome in outcomes if not outcome.good] == []
    assert outcomes


def test_every_rule_that_is_on_has_a_flow():
    rules = {rule.id for rule in load_rules(rule_files(FOLDER)).rules if rule.mode != "off"}
    assert {flow.rule for flow in FLOWS} == rules - {"H-ORDERED", "Z01302-N"}


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.rule)
def test_labels_follow_the_numbers(flow):
    assert [flow.label(flow.breach * scale) for scale in SCALES][-1] == "breach"
    assert flow.label(flow.breach * 0.5) == "nothing"
    assert flow.warn < flow.breach


def test_a_threshold_that_is_too_high_is_found_out(tmp_path):
    path = changed(tmp_path, "monitoring.yaml", "move_other: 4%", "move_other: 4.1%")
    outcomes = run_all([path], only="Z01201")
    wrong = {outcome.text for outcome in outcomes if outcome.name == "Z01201" and outcome.label == "abnormal"}
    assert wrong == {"expected breach, got warn"}
    assert totals(outcomes).abnormal_caught < 99.5


def test_a_threshold_that_is_too_low_stops_benign_orders(tmp_path):
    path = changed(tmp_path, "patterns.yaml", "manager_yuan: 1亿 yuan", "manager_yuan: 500万 yuan")
    outcomes = run_all([path], only="Lingjun, twin")
    assert totals(outcomes).benign_stopped > 0.1
    assert not any(outcome.good for outcome in outcomes)


def test_the_command_and_its_json(tmp_path, capsys):
    assert evaluate(None, only="J-Com", as_json=True) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    assert found["totals"]["abnormal_caught"] == 100.0
    assert {run["name"] for run in found["runs"]} == {"J-Com 2005", "J-Com, twin"}
    loose = changed(tmp_path, "monitoring.yaml", "move_other: 4%", "move_other: 4.1%")
    assert evaluate([loose], only="Z01201") == 1
    assert evaluate(None, only="no such case") == 1
    assert re.search("abnormal caught", capsys.readouterr().out)


def test_benign_cases_have_abnormal_twins():
    assert sum(not case.caught_by for case in CASES) >= 8
    assert len({case.name for case in CASES}) == len(CASES)
