"""The shipped rulebook: its tests pass; each rule has one that fires it, one just below, a benign twin; it is cheap."""
from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

import risk_rules
from ext.codes import BOARDS, PHASES, VENUES
from risk_rules.branches import branches_of
from risk_rules.load import load_rules, rule_files
from risk_rules.rule_types import Rule
from risk_rules.tapes import load_tests
from risk_rules.testing import run_file

FOLDER = Path(risk_rules.__file__).parent
TEST_FILES = sorted(FOLDER.glob("*_test.yaml"))
DAY = date(2026, 11, 23)
ST_DAY = date(2026, 7, 6)
MOST_PER_ORDER = 15


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_every_expectation_is_met_and_every_stage_fires(path):
    report = run_file(load_tests(path))
    assert report.failed == []
    assert report.tests > 0
    assert [(rule, stages) for rule, stages in report.stages.items() if stages - report.fired.get(rule, set())] == []


def test_there_is_a_test_file_beside_each_rule_file():
    tested = [path.name.replace("_test.yaml", ".yaml") for path in TEST_FILES]
    assert tested == [path.name for path in rule_files(FOLDER)]


@pytest.mark.parametrize("path", rule_files(FOLDER), ids=lambda path: path.stem)
def test_each_rule_has_a_test_a_near_miss_and_a_benign_twin(path):
    names = {test.name for test in load_tests(path.with_name(f"{path.stem}_test.yaml")).tests}
    rules = [*load_rules([path], day=DAY).rules, *load_rules([path], day=date(2025, 11, 24)).rules]
    for rule in rules:
        assert rule.tests, rule.id
        assert set(rule.tests) <= names, rule.id
        for twin in ("below", "benign"):
            assert any(f"{name}_{twin}" in names for name in rule.tests), (rule.id, twin)


def test_every_rule_says_where_it_comes_from():
    for rule in load_rules(rule_files(FOLDER)).rules:
        assert rule.source.basis in ("published", "vendor", "ours"), rule.id
        assert rule.source.clause, rule.id


def concerns(rule: Rule, venue: str, board: str, phase: str, st: bool) -> bool:
    """Whether an ordinary account's order there meets the rule (or a mark of it)."""
    scope = rule.scope
    events = {*rule.events, *(event for mark in rule.marks for event in mark.events)}
    if rule.mode == "off" or "order" not in events or scope.tags_any or scope.ids or scope.groups or scope.prefixes:
        return False
    where = scope.venues >> VENUES[venue] & scope.boards >> BOARDS[board] & scope.phases >> PHASES[phase] & 1
    return bool(where and not scope.securities and scope.st in (0, 1 if st else 2))


@pytest.mark.parametrize("phase", ["OPEN_CALL", "CONTINUOUS", "CLOSE_CALL"])
@pytest.mark.parametrize(("venue", "board"), [("XSHG", "MAIN"), ("XSHG", "STAR"), ("XSHE", "CHINEXT")])
@pytest.mark.parametrize("st", [False, True])
def test_an_order_of_an_ordinary_account_meets_few_rules(phase, venue, board, st):
    rules = load_rules(rule_files(FOLDER), day=DAY).rules
    met = [rule.id for rule in rules if concerns(rule, venue, board, phase, st)]
    assert 0 < len(met) <= MOST_PER_ORDER, met


def test_an_older_day_has_its_own_rules():
    def versions(day: date) -> dict[str, int]:
        return {rule.id: rule.version for rule in load_rules(rule_files(FOLDER), day=day).rules}

    assert versions(date(2026, 7, 5))["Z03101-ST"] == 1
    assert versions(ST_DAY)["Z03101-ST"] == 2
    assert "Z06003" not in versions(date(2025, 7, 6))
    assert "Z06003" in versions(date(2025, 7, 7))
    assert "Z06002" not in versions(date(2023, 10, 8))


def test_branches_name_a_comparison_no_test_would_miss(tmp_path):
    text = (FOLDER / "house.yaml").read_text()
    start = text.index("- id: H-FAR\n")
    rule = text[start:text.index("\n- id: ", start)].split("\n#")[0]
    (tmp_path / "one.yaml").write_text(text[:text.index("rules:\n")] + "rules:\n" + rule + "\n")
    tests = (FOLDER / "house_test.yaml").read_text().replace("switch_on: [H-ORDERED]\n", "")
    head, first = tests[:tests.index("- name: ")], tests.index("- name: far_order\n")
    fires = tests[first:tests.index("- name: far_order_below\n")]
    (tmp_path / "one_test.yaml").write_text(head + fires)
    branches = branches_of(load_tests(tmp_path / "one_test.yaml"))
    found = {(branch.text, branch.forced): branch.noticed for branch in branches}
    assert found == {("this_deviation", "always"): False, ("this_yuan", "always"): False,
                     ("this_deviation", "never"): True, ("this_yuan", "never"): True}
