"""A day of risk officers at a real gateway, by the command line as the manual says it, with a kill -9 in the middle."""

import json

import pytest

from gateway.pb import control_pb2 as api
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import limit_order
from tests.system.officers import officer
from tests.system.plant import wait_until
from tests.system.test_control_rules import command

RULES = """\
schema: 1
rule_set: {id: desk, version: 1}
rules:
- id: D0001
  version: 1
  name: a large order asks first
  source: {doc: "tests", clause: "1", basis: ours}
  per: account
  on: [order]
  when: "this_shares > 20_000 shares"
  breach: {confirm: true, ttl: 60 s}
- id: D0002
  version: 1
  name: many cancels
  source: {doc: "tests", clause: "2", basis: ours}
  per: account
  on: [canceled]
  when: "cancels(day) >= 5"
  breach: {level: L4, mask: [no_buy], hold: 30 min}
- id: D0003
  version: 1
  name: every order, only watched
  source: {doc: "tests", clause: "3", basis: ours}
  mode: shadow
  per: account
  on: [order]
  when: "this_shares > 0 shares"
  breach: {level: L6, block: true, sells: true}
"""


@pytest.fixture
def day(start_controlled, tmp_path):
    """(gateway, folder of rules, tidegate(person, *arguments)): the rules above are in force."""
    gateway, folder = start_controlled(), tmp_path / "rules"
    folder.mkdir()
    (folder / "desk.yaml").write_text(RULES)

    def tidegate(person, *arguments, code=0):
        done = command(gateway, person, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    assert "in force as rule set 1" in tidegate("olga", "rules", "push", str(folder), "-m", "the desk's rules")
    return gateway, folder, tidegate


def test_confirmations(day, fronts):
    gateway, _, tidegate = day
    front, symbol = fronts(gateway, "alpha", "A1"), gateway.symbols["XSHG"][0]
    for name in ("client", "officer", "denied", "killed"):
        assert front.order(limit_order(name, "A1", symbol, qty=20_100)).exec_type == pb.SUSPENDED
    front.send(confirm_order=pb.ConfirmOrder(account="A1", cl_ord_id="client"))
    assert front.report("client", pb.NEW).leaves_qty_shares == 20_100
    assert tidegate("olga", "control", "confirm", "A1", "officer", "-m", "client rang") == (
        "A1 officer is confirmed: PENDING_NEW\n"
    )
    denied = tidegate("olga", "control", "confirm", "A1", "denied", "--deny", "-m", "no")
    assert denied == "A1 denied is denied: REJECTED\n"
    again = tidegate("olga", "control", "confirm", "A1", "officer", "-m", "again", code=1)
    assert "R1606 NOT_OPEN: it waits for nobody" in again
    viewer = tidegate("vera", "control", "confirm", "A1", "killed", code=1)
    assert "ConfirmSuspended needs the role risk_officer" in viewer
    tidegate("otto", "control", "kill", "account", "A1", "-m", "runaway")
    behind = tidegate("olga", "control", "confirm", "A1", "killed", "-m", "too late", code=1)
    assert behind == "tidegate: error: FAILED_PRECONDITION: order 4: R1606 NOT_OPEN: it waits for nobody\n"
    assert pb.NEW not in [report.exec_type for report in front.of("execution_report") if report.cl_ord_id == "killed"]


def test_a_rule_that_only_watches_says_so(day, fronts):
    gateway, _, tidegate = day
    front = fronts(gateway, "alpha", "A1")
    front.accepted(limit_order("small", "A1", gateway.symbols["XSHG"][0]))
    alerts = [json.loads(line) for line in tidegate("vera", "rules", "alerts").splitlines()]
    (hit,) = (alert for alert in alerts if alert["kind"] == "HIT")
    assert (hit["rule"], hit["enforced"], hit["blocked"]) == ("D0003@1", False, False)
    assert hit["factors"] == [{"text": "this_shares", "value": "100", "limit": "0", "unit": "shares"}]


def test_everything_is_there_again_after_kill_9(day, fronts, listen):
    gateway, folder, tidegate = day
    front, symbol = fronts(gateway, "alpha", "A1", "A2", "A3"), gateway.symbols["XSHG"][0]
    for number in range(5):
        front.accepted(limit_order(f"c{number}", "A1", symbol, price_e4=95_000))
        front.cancel("A1", f"c{number}")
        front.report(f"c{number}", pb.CANCELED)
    assert front.order(limit_order("b", "A1", symbol)).reject_code == "R1002"
    tidegate("olga", "control", "level", "account", "A2", "6", "-m", "looks like spoofing")
    assert "waits for another person" in tidegate("olga", "control", "release", "account", "A2", "-m", "it was not")
    (folder / "desk.yaml").write_text(RULES.replace("> 20_000", "> 30_000"))
    assert "waits for another person" in tidegate("olga", "rules", "push", str(folder), "-m", "too many questions")
    assert front.order(limit_order("waits", "A3", symbol, qty=20_100)).exec_type == pb.SUSPENDED
    seen = {what: tidegate("vera", "control", what) for what in ("levels", "proposals", "suspended", "tickets")}
    seen |= {"history": tidegate("vera", "rules", "history"), "alerts": tidegate("vera", "rules", "alerts")}
    assert "D0002@1" in seen["levels"]
    gateway.kill()
    gateway.start()
    for what in ("levels", "proposals", "suspended", "tickets"):
        assert tidegate("vera", "control", what) == seen[what]
    assert tidegate("vera", "rules", "history") == seen["history"]
    assert tidegate("vera", "rules", "alerts") == seen["alerts"]
    finish(gateway, tidegate, fronts(gateway, "alpha", "A1", "A2", "A3"), symbol)
    listener = listen(officer(gateway, "vera"))
    newest = officer(gateway, "vera").GetStatus().newest_alert_seq
    wait_until(lambda: listener.after_seq >= newest, "every alert")
    assert listener.numbers() == list(range(1, newest + 1))


def finish(gateway, tidegate, front, symbol):
    """What waited is decided, and it binds."""
    waiting = {proposal.kind: proposal.id for proposal in officer(gateway, "vera").ListProposals().proposals}
    assert front.order(limit_order("b2", "A1", symbol)).reject_code == "R1002"
    front.accepted(limit_order("s2", "A1", symbol, side=pb.SELL, price_e4=104_000))
    assert front.order(limit_order("f2", "A2", symbol)).reject_code == "R1501"
    assert "done" in tidegate("anna", "control", "approve", str(waiting[api.RELEASE]), "-m", "agreed")
    front.accepted(limit_order("f3", "A2", symbol))
    assert "in force as rule set 2" in tidegate("anna", "rules", "approve", str(waiting[api.RULES]), "-m", "agreed")
    front.accepted(limit_order("large", "A3", symbol, qty=30_000))
    assert "A3 waits is confirmed" in tidegate("olga", "control", "confirm", "A3", "waits", "-m", "after all")
    assert "in force as rule set 3" in tidegate("both", "rules", "rollback", "-m", "too loose")
    assert front.order(limit_order("large2", "A3", symbol, qty=30_000)).exec_type == pb.SUSPENDED


def test_a_push_of_what_is_no_text(day):
    gateway, folder, _ = day
    (folder / "desk.yaml").write_bytes(b"schema: 1\nrules: [\xff]")
    faulty = command(gateway, "olga", "rules", "push", str(folder), "-m", "typo")
    assert (faulty.returncode, faulty.stderr) == (
        2,
        f"tidegate: error: FILE: {folder / 'desk.yaml'}: no UTF-8 at byte 18, expected text\n",
    )
