"""`tidegate rules explain` on real journals: codes, orders, accounts, and what is not there."""
from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from ext import oversight, response, sweeps
from ext.codes import REJECT_CODES
from gateway.code_texts import TEXTS
from gateway.explain import explain
from gateway.explain_text import print_facts
from gateway.journal_day import shown
from gateway.settings import SettingError
from tests import actions as act
from tests.driver import Driver
from tests.model_state import BUY, LIMIT, XSHG, NewOrder
from tests.rule_desk import RuleDesk
from tests.seeded_life import PORTS, Simulation

ACCOUNT, GROUP, FIRM = 1, 2, 3
KILL_ACCOUNT = 2
SUSPENDED = 7
RESTRICT, CANCEL_ONLY, FREEZE = 4, 5, 6
NO_BUY = 1


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A journal of some life, its engine still running, and what its clients heard: (path, driver, simulation)."""
    simulation = Simulation(7)
    path = tmp_path_factory.mktemp("explain") / "20261123-00.journal"
    driver = Driver(simulation.model, path, simulation.now_ns)
    for action in simulation.actions(1_500):
        act.apply(simulation.model, action)
        driver.apply(action)
    return path, driver, simulation


def text_of(facts) -> str:
    stream = io.StringIO()
    print_facts(facts, Console(file=stream, width=200))
    return stream.getvalue()


def test_every_code_has_its_text():
    assert set(TEXTS) == set(REJECT_CODES)
    for code, text in TEXTS.items():
        facts = explain(f"R{code}", Path("nowhere"))["code"]
        assert facts["name"] == f"R{code} {REJECT_CODES[code][0]}"
        assert all((text.checks, text.formula, text.limit))
        assert text.checks in text_of({"code": facts})


def test_a_text_uses_the_ladders_words():
    ladder = (Path(__file__).parent.parent / "docs" / "ladder.md").read_text()
    assert [code for code in TEXTS if f"R{code} " in ladder or f"R{code})" in ladder or f"R{code}," in ladder]
    used = {1301: "cash_held", 1204: "rate_out_per_s", 1205: "rate_symbol_per_s", 1202: "dup_max", 1105: "px % tick"}
    for code, words in used.items():
        text = TEXTS[code]
        assert words in ladder
        assert words in f"{text.formula} {text.limit}".replace("cash held", "cash_held")


def test_a_limit_is_named_by_its_key():
    known = (Path(__file__).parent.parent / "docs" / "limits.md").read_text()
    for code, text in TEXTS.items():
        keys = re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", text.limit.replace("NewOrder.parent_qty_shares", ""))
        assert [key for key in keys if f"`{key}`" not in known] == [], code


def test_every_reject_is_explained_with_the_value_and_limit_the_client_heard(lived):
    path, driver, _ = lived
    rejects = [report for report in driver.observed if getattr(report, "exec_type", 0) == 6 and report.text]
    waited = {r.order_id for r in driver.observed if getattr(r, "exec_type", 0) == SUSPENDED}
    rejects = [report for report in rejects if report.reject_code != "R1602" and report.order_id not in waited]
    some = {code: [r for r in rejects if r.reject_code == code][:3] for code in {r.reject_code for r in rejects}}
    assert len(some) >= 5
    for report in (report for reports in some.values() for report in reports):
        facts = explain(f"{report.account}:{report.cl_ord_id}", path)
        decision = facts["decision"]
        assert f"{decision['name']} v={decision['value']} lim={decision['limit']} " in report.text
        assert facts["order"]["order_id"] == report.order_id
        assert facts["in_force"]["limits"]["file"] == "model@1"
        assert decision["checks"] in text_of(facts)
        assert explain(str(report.order_id), path) == facts
        assert explain(report.cl_ord_id, path, report.account) == facts


def test_an_accepted_order_says_so(lived):
    path, driver, _ = lived
    report = next(r for r in driver.observed if getattr(r, "exec_type", 0) == 1)
    facts = explain(f"{report.account}:{report.cl_ord_id}", path)
    assert facts["decision"] == {"verdict": "accepted", "code": "PASS"}
    assert "accepted" in text_of(facts)


def test_a_suspended_order_says_how_it_ended(lived):
    path, driver, _ = lived
    waiting = {(r.account, r.cl_ord_id): r for r in driver.observed if getattr(r, "exec_type", 0) == SUSPENDED}
    assert waiting
    endings = set()
    for account, cl_ord_id in waiting:
        facts = explain(f"{account}:{cl_ord_id}", path)
        assert facts["decision"]["verdict"] == "waits for confirmation"
        reports = [r for r in driver.observed if (r.account, getattr(r, "cl_ord_id", "")) == (account, cl_ord_id)]
        accepted = any(r.exec_type == 1 for r in reports[1:] if hasattr(r, "exec_type"))
        assert accepted == bool(facts["ended"] and facts["ended"]["code"] == "PASS")
        endings.add(facts["ended"]["how"].split()[0] if facts["ended"] else "waits")
        assert (facts["ended"] or {"how": "it still waits"})["how"] in text_of(facts)
    assert {"confirmed", "expired:"} <= endings


def test_a_restricted_account_names_who_when_and_why(lived):
    path, driver, simulation = lived
    index, now_ns = driver.world.accounts["A"], simulation.now_ns
    set_level(driver, ACCOUNT, index, RESTRICT, mask=NO_BUY, now_ns=now_ns, by="li", reason="too many cancels")
    set_level(driver, ACCOUNT, index, FREEZE, now_ns=now_ns + 1, by="wang", reason="suspected spoofing")
    facts = explain("A", path)
    assert facts["restricted"]
    (level,) = (level for level in facts["levels"] if level["subject"] == "account A")
    assert (level["level"], level["by"], level["reason"]) == ("L6 FREEZE", "wang", "suspected spoofing")
    assert [step["level"] for step in facts["history"]][-2:] == ["L4 RESTRICT", "L6 FREEZE"]
    assert ("wang", "suspected spoofing") in [(kill["by"], kill["reason"]) for kill in facts["kills"]]
    assert ("wang", True) in [(ticket["by"], ticket["is_open"]) for ticket in facts["tickets"]]
    text = text_of(facts)
    assert all(word in text for word in ("restricted", "wang", "suspected spoofing", "NO_BUY"))


def test_an_order_names_the_level_that_stopped_it(lived):
    path, driver, simulation = lived
    name, account = next((n, a) for n, a in simulation.model.accounts.items() if a.group and a.group.name == "fund")
    now_ns = simulation.now_ns + 2
    set_level(driver, GROUP, driver.world.groups["fund"], CANCEL_ONLY, now_ns=now_ns, by="li", reason="watch list")
    port = next(p for p, names in PORTS.items() if name in names)
    order = NewOrder("late", name, "600001", XSHG, BUY, LIMIT, 100, 10 * 10_000)
    driver.apply(act.Submit(now_ns + 1, port, 0, order))
    facts = explain(f"{name}:late", path)
    assert facts["decision"]["code"] in ("R1002", "R1501")
    (level,) = (level for level in facts["levels"] if level["subject"] == "group fund")
    assert (level["level"], level["by"], level["reason"]) == ("L5 CANCEL_ONLY", "li", "watch list")
    assert explain(name, path)["account"]["group"] == account.group.name


def test_a_killed_order_names_who_when_and_why(tmp_path):
    desk = RuleDesk(tmp_path)
    sweeps.kill(desk.engine, KILL_ACCOUNT, 0, True, "otto", desk.now_ns)
    oversight.record_step(desk.engine, "killed", by="otto", reason="account A0000000: runaway", now_ns=desk.now_ns)
    assert desk.code() == "R1501"
    facts = explain("A0000000:o1", desk.path)
    (kill,) = facts["kills"]
    assert (kill["scope"], kill["by"], kill["reason"]) == ("account", "otto", "account A0000000: runaway")
    assert all(word in text_of(facts) for word in ("otto", "runaway", "last 10.00 yuan/share"))
    sweeps.kill(desk.engine, KILL_ACCOUNT, 0, False, "olga", desk.now_ns, approved_by="anna")
    desk.quote(asks=())
    assert desk.code() == ""
    facts = explain("A0000000:o2", desk.path)
    assert (facts["kills"], facts["quotes"]["live"]["ask"]) == ([], "none")
    desk.close()


def set_level(driver, subject, index, level, **terms) -> None:
    assert response.set_level(driver.engine, subject, index, level, **terms)


@pytest.mark.parametrize(("asked", "account", "message"), [
    ("R1999", "", "CODE: got R1999, expected one of R1001 to R1614"),
    ("999999", "", "CODE|ORDER: got '999999', expected a code"),
    ("Z", "", "CODE|ORDER: got 'Z'"),
    ("Z:o1", "", "ORDER: no account 'Z' in "),
    ("A:none", "", "ORDER: account 'A' has no order 'none' in "),
    ("none", "A", "ORDER: account 'A' has no order 'none' in "),
])
def test_what_is_not_there_is_one_line(lived, asked, account, message):
    with pytest.raises(SettingError) as caught:
        explain(asked, lived[0], account)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_missing_journal_is_one_line(tmp_path):
    with pytest.raises(SettingError, match="expected a journal file"):
        explain("17", tmp_path / "nowhere")


@pytest.mark.parametrize(("value", "unit", "text"), [
    (12_345_678_900, "yuan", "1,234,567.89 yuan"), (-5_0001, "yuan", "-5.0001 yuan"),
    (100_000, "price", "10.00 yuan/share"), (500_000, "ratio", "50 %"), (1_500_000_000, "time", "1.5 s"),
    (1_000_000, "shares", "1,000,000 shares"), (7, "count", "7"), (1, "flag", "yes"),
    (-(1 << 63), "ratio", "undefined"),
])
def test_amounts_are_shown_in_their_unit(value, unit, text):
    assert shown(value, unit) == text
