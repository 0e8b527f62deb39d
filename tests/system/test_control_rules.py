"""Rules of a running gateway: pushed, approved, watched, judging and explained, and the command line for all of it."""

import json
import os
import subprocess
import sys
import threading

import grpc
import pytest

from gateway.pb import control_pb2 as api
from tests.system.front import Flow, limit_order
from tests.system.officers import files, officer, rules_of
from tests.system.plant import ROOT, wait_until

COMMANDS = """
import sys
from gateway import cli, rules_cli
from gateway.control_cli import control
from risk_rules.cli import rules
cli.app.add_typer(control, name="control")
cli.app.add_typer(rules, name="rules")
for name in ("alerts", "approve", "diff", "history", "push", "refuse", "rollback"):
    rules.command(name)(getattr(rules_cli, name))
sys.exit(cli.run(sys.argv[1:]))
"""


# --- rules that judge ---


def test_a_pushed_rule_judges_and_is_explained(start_controlled, fronts, listen):
    gateway = start_controlled()
    olga, vera = officer(gateway, "olga"), officer(gateway, "vera")
    listener = listen(vera)
    front = fronts(gateway, "alpha", "A1")
    symbol = gateway.symbols["XSHG"][0]
    front.accepted(limit_order("before", "A1", symbol, qty=30_000))
    pushed = olga.push(rules_of(20_000), reason="sizes")
    front.accepted(limit_order("small", "A1", symbol, qty=20_000))
    refused = front.order(limit_order("large", "A1", symbol, qty=20_100))
    assert (refused.reject_code, "rule=T0001@1" in refused.text) == ("R1403", True), refused.text
    hit = wait_until(lambda: [alert for _, alert in listener.alerts if alert.kind == "HIT"], "the hit")[0]
    assert (hit.rule, hit.rule_name, hit.stage) == ("T0001@1", "too large an order", "breach")
    assert (hit.account, hit.symbol, hit.side) == ("A1", symbol, "BUY")
    assert (hit.enforced, hit.blocked) == (True, True)
    assert [(factor.text, factor.value, factor.limit, factor.unit) for factor in hit.factors] == [
        ("this_shares", 20_100, 20_000, "shares")
    ]
    told = vera.ExplainOrder(account="A1", cl_ord_id="large")
    assert (told.code, told.rule.id, told.rule.file) == ("R1403 ABNORMAL", "T0001", "sizes.yaml")
    assert (told.rule_set.number, told.rule_set.by, told.rule_set.reason) == (1, "olga", "sizes")
    assert (told.rule_set.sha256, told.rule_set.version, told.rule_set.rules) == (pushed.sha256, 1, 1)
    assert [alert.alert_seq for alert in told.hits] == [hit.alert_seq]
    assert "this_shares" in told.rule.text
    assert hit.alert_seq in [alert.alert_seq for alert in vera.ExplainAccount(id="A1").alerts]


def test_each_order_is_judged_by_one_rule_set_while_they_change_under_flow(start_controlled, fronts):
    gateway = start_controlled()
    both, anna = officer(gateway, "both"), officer(gateway, "anna")
    front = fronts(gateway, "alpha", "A1")
    symbol = gateway.symbols["XSHG"][0]
    both.push(rules_of(20_000))
    flow = Flow(gateway, front, "A1", most=20_000)
    for turn in range(1, 5):
        assert both.push(rules_of(20_000 - turn)).state == api.IN_FORCE
        assert (
            front.order(limit_order(f"tight{turn}", "A1", symbol, qty=20_000, price_e4=95_000)).reject_code == "R1403"
        )
        waiting = both.push(rules_of(20_000 + turn))
        assert anna.Approve(proposal=waiting.id).state == api.IN_FORCE
        front.accepted(limit_order(f"loose{turn}", "A1", symbol, qty=20_000, price_e4=95_000))
    flow.stop()
    wait_until(lambda: len(front.named()) == flow.sent + 8, "an answer to every order")
    refusals = [report for report in front.of("execution_report") if report.reject_code]
    assert {report.reject_code for report in refusals} == {"R1403"}
    assert len(refusals) == 4


def test_two_pushes_at_once(start_controlled):
    gateway = start_controlled()
    olga, both = officer(gateway, "olga"), officer(gateway, "both")
    first = olga.push(rules_of(300_000))
    ends = []

    def push(person, shares):
        try:
            ends.append(person.push(rules_of(shares), base_sha256=first.sha256).state)
        except grpc.RpcError as error:
            ends.append((error.code(), error.details()))

    threads = [threading.Thread(target=push, args=each) for each in ((olga, 200_000), (both, 250_000))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert api.IN_FORCE in ends
    late = next(end for end in ends if end != api.IN_FORCE)
    assert late[0] == grpc.StatusCode.ABORTED
    assert f"{first.sha256[:12]}, which is no longer in force" in late[1]
    assert olga.GetRules().in_force.number == 2


def test_rules_of_yesterday_are_todays(start_controlled, tmp_path):
    gateway = start_controlled()
    pushed = officer(gateway, "olga").push(rules_of(300_000))
    gateway.stop()
    for file in gateway.journal.glob("*.journal"):
        file.unlink()
    gateway.start()
    found = officer(gateway, "vera").GetRules(with_sources=True)
    assert (found.in_force.sha256, found.in_force.by) == (pushed.sha256, "olga")
    assert list(found.sources) == files(rules_of(300_000))


def test_first_rules_and_a_watched_folder(start_controlled, listen, tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "sizes.yaml").write_text(rules_of(300_000)["sizes.yaml"])
    (folder / "limits.yaml").write_text("not a rule file")
    gateway = start_controlled("--rules", str(folder), "--watch-rules")
    vera, anna = officer(gateway, "vera"), officer(gateway, "anna")
    listener = listen(vera)
    first = vera.GetRules().in_force
    assert first.by == "start"
    assert gateway.rule_set == f"sizes@1, 1 rules, sha256 {first.sha256}"
    assert len(gateway.child.logged("rules_in_force")) == 1
    (folder / "sizes.yaml").write_text(rules_of(200_000)["sizes.yaml"])
    tighter = wait_until(lambda: (rules := vera.GetRules()).in_force.number == 2 and rules, "the tighter rules")
    assert tighter.in_force.by == "watch"
    (folder / "sizes.yaml").write_text("schema: 1\nrules: 3")
    refused = wait_until(lambda: listener.of_step("refused"), "an alert of the bad file")[0]
    assert (refused.by, "sizes.yaml:2" in refused.reason) == ("watch", True)
    assert gateway.child.logged("watched_rules_faulty")
    (folder / "sizes.yaml").write_text(rules_of(250_000)["sizes.yaml"])
    waiting = wait_until(lambda: vera.GetRules().proposals, "a proposal")[0]
    assert vera.GetRules().in_force.number == 2
    assert anna.Approve(proposal=waiting.id, reason="seen").number == 3


# --- the command line ---


def command(gateway, person, *arguments, within_s=30.0):
    """One run of `tidegate ...` as this person."""
    at = f"127.0.0.1:{gateway.control_port}"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TIDEGATE_CONTROL": at,
        "TIDEGATE_TOKEN": person,
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-c", COMMANDS, *arguments],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        env=environment,
    )


def test_the_command_line(start_controlled, tmp_path):
    gateway = start_controlled()
    folder = tmp_path / "officers"
    folder.mkdir()

    def write(shares):
        (folder / "sizes.yaml").write_text(rules_of(shares)["sizes.yaml"])

    write(300_000)
    pushed = command(gateway, "olga", "rules", "push", str(folder), "-m", "first")
    assert (pushed.returncode, "in force as rule set 1" in pushed.stdout) == (0, True), pushed.stderr
    write(400_000)
    shown = command(gateway, "vera", "rules", "diff", str(folder))
    assert '+  when: "this_shares > 400000 shares"' in shown.stdout
    assert "a second person is needed" in shown.stdout
    waiting = command(gateway, "olga", "rules", "push", str(folder), "-m", "looser")
    assert "proposal 2 waits for another person" in waiting.stdout
    own = command(gateway, "olga", "rules", "approve", "2")
    assert (own.returncode, own.stderr.count("\n")) == (1, 1)
    assert "tidegate: error: PERMISSION_DENIED: Approve needs the role risk_approver" in own.stderr
    assert "in force as rule set 2" in command(gateway, "anna", "rules", "approve", "2", "-m", "fine").stdout
    assert "in force as rule set 3" in command(gateway, "olga", "rules", "rollback", "-m", "after all").stdout
    told = command(gateway, "vera", "rules", "history")
    assert told.stdout.count("in_force") == 2
    assert told.stdout.count("rolled_back") == 1
    (folder / "sizes.yaml").write_text("schema: 1\nrules: [")
    faulty = command(gateway, "olga", "rules", "push", str(folder), "-m", "typo")
    assert faulty.returncode == 1
    assert "tidegate: error: sizes.yaml:" in faulty.stderr
    killed = command(gateway, "otto", "control", "kill", "account", "A1", "-m", "runaway")
    assert "killed account A1: 0 orders cancelled" in killed.stdout
    assert "killed" in command(gateway, "vera", "control", "levels").stdout
    assert json.loads(command(gateway, "vera", "control", "status").stdout)["rules"]["number"] == 3
    assert "faults" not in json.loads(command(gateway, "vera", "control", "recovery").stdout)
    alerts = [json.loads(line) for line in command(gateway, "vera", "control", "alerts").stdout.splitlines()]
    assert [int(alert["alert_seq"]) for alert in alerts] == list(range(1, len(alerts) + 1))
    assert {"pushed", "approved", "in_force", "rolled_back", "refused", "killed"} <= {
        alert.get("step") for alert in alerts
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["control", "kill", "planet", "x", "-m", "x"], 2, "scope: got 'planet', expected one of session"),
        (["control", "status", "--at", "nowhere"], 2, "--at: got 'nowhere', expected host:port"),
        (["control", "status", "--at", "127.0.0.1:1"], 1, "UNAVAILABLE: 127.0.0.1:1 cannot be reached"),
        (["control", "status", "--token-file", "nowhere"], 2, "--token-file: got 'nowhere'"),
        (["control", "status", "--tls-cert", "x"], 2, "--tls-cert: expected"),
        (["rules", "push", "nowhere", "-m", "x"], 2, "FILE: got 'nowhere'"),
        (["control", "approve", "many"], 2, "Invalid value"),
    ],
)
def test_errors_of_the_command_line_are_one_line(arguments, code, text):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", COMMANDS, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert (ran.returncode, len(ran.stderr.splitlines())) == (code, 1), ran.stderr
    assert text in ran.stderr
