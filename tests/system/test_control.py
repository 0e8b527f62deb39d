"""The control port of a real gateway: roles, four eyes, kills under flow, alerts, mTLS, the command line."""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.pb import control_pb2 as api
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import limit_order, refused_with
from tests.system.limits import token_hash
from tests.system.officers import Listener, Officer, files, rules_of, write_control_file
from tests.system.plant import ROOT, StartError, wait_until

COMMANDS = """
import sys
from gateway import cli
from gateway.control_cli import control
from gateway.rules_cli import rules
cli.app.add_typer(control, name="control")
cli.app.add_typer(rules, name="rules")
sys.exit(cli.run(sys.argv[1:]))
"""
KILLED = {
    "account": ("A1", api.ACCOUNT),
    "group": ("G1", api.GROUP),
    "firm": ("", api.FIRM),
    "session": (token_hash("alpha")[:12], api.SESSION),
}


def with_group(limits):
    """A1 to A3 in one controller group."""
    credit = {"gross_limit_yuan": 4_000_000_000, "long_limit_yuan": 2_000_000_000, "short_limit_yuan": 2_000_000_000}
    limits["groups"] = [{"id": "G1"} | credit]
    for account in limits["accounts"]:
        if account.get("id") in ("A1", "A2", "A3"):
            account["group"] = "G1"


@pytest.fixture
def start_controlled(start_gateway, tmp_path):
    """start_controlled(*flags, **choices): a gateway with a control port."""

    def start(*flags, control=None, **choices):
        control = control or write_control_file(tmp_path / "control.yaml")
        return start_gateway(flags=("--control-port", "0", "--control", str(control), *flags), **choices)

    return start


@pytest.fixture
def listen():
    """listen(officer, after_seq): a Listener, stopped after the test."""
    started = []

    def start(*arguments):
        started.append(Listener(*arguments))
        return started[-1]

    yield start
    for listener in started:
        listener.stop()


def officer(gateway, name, channel=None):
    return Officer(f"127.0.0.1:{gateway.control_port}", name, channel)


# --- who may call what ---


def test_roles_and_identities(start_controlled):
    gateway = start_controlled()
    vera, olga, anna, otto = (officer(gateway, name) for name in ("vera", "olga", "anna", "otto"))
    status = vera.GetStatus()
    assert (status.you, list(status.roles), status.accounts) == ("vera", ["viewer"], 223)
    for name in ("", "nobody"):
        assert "Bearer" in refused_with(grpc.StatusCode.UNAUTHENTICATED, officer(gateway, name).GetStatus)
    refusals = (
        (vera, "PushRules", "risk_officer"),
        (anna, "PushRules", "risk_officer"),
        (olga, "Approve", "risk_approver"),
        (otto, "SetLevel", "risk_officer or risk_approver"),
        (vera, "Kill", "risk_officer or risk_approver or operator"),
    )
    for person, method, role in refusals:
        text = refused_with(grpc.StatusCode.PERMISSION_DENIED, getattr(person, method))
        assert f"{method} needs the role {role}; {person.GetStatus().you} has" in text
    listening = vera.stub.Alerts(api.AlertsRequest(after_seq=99), metadata=[])
    assert refused_with(grpc.StatusCode.UNAUTHENTICATED, lambda: list(listening))
    listening = vera.stub.Alerts(api.AlertsRequest(after_seq=99), metadata=vera.metadata)
    assert "got 99, expected at most" in refused_with(grpc.StatusCode.OUT_OF_RANGE, lambda: list(listening))


def test_health_reflection_and_channelz(start_controlled):
    gateway = start_controlled()
    vera = officer(gateway, "vera")
    health = health_pb2_grpc.HealthStub(vera.channel).Check(
        health_pb2.HealthCheckRequest(service="tidegate.v1.Control")
    )
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    listed = next(reflection_pb2_grpc.ServerReflectionStub(vera.channel).ServerReflectionInfo(asked))
    assert "tidegate.v1.Control" in [service.name for service in listed.list_services_response.service]
    channelz = channelz_pb2_grpc.ChannelzStub(vera.channel)
    assert "Bearer" in refused_with(
        grpc.StatusCode.UNAUTHENTICATED, channelz.GetServers, channelz_pb2.GetServersRequest()
    )
    assert len(channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=vera.metadata).server) == 1


@pytest.mark.parametrize(
    ("method", "fields", "status", "text"),
    [
        ("Kill", {"scope": api.ACCOUNT, "id": "A1"}, "INVALID_ARGUMENT", "reason"),
        ("Kill", {"scope": api.ACCOUNT, "id": "NOBODY", "reason": "x"}, "NOT_FOUND", "NOBODY"),
        ("Kill", {"scope": api.GROUP, "id": "NONE", "reason": "x"}, "NOT_FOUND", "group"),
        ("Kill", {"scope": api.SESSION, "id": "1234567", "reason": "x"}, "NOT_FOUND", "SHA-256"),
        ("Kill", {"scope": api.FIRM, "id": "A1", "reason": "x"}, "INVALID_ARGUMENT", "firm without an id"),
        ("Kill", {"id": "A1", "reason": "x"}, "INVALID_ARGUMENT", "scope"),
        ("Kill", {"scope": 99, "id": "A1", "reason": "x"}, "INVALID_ARGUMENT", "scope"),
        ("Unkill", {"scope": api.ACCOUNT, "id": "A1", "reason": "x"}, "FAILED_PRECONDITION", "not killed"),
        ("SetLevel", {"scope": api.ACCOUNT, "id": "A1", "level": 9, "reason": "x"}, "FAILED_PRECONDITION", "level"),
        (
            "SetLevel",
            {"scope": api.ACCOUNT, "id": "A1", "level": 4, "mask": ["no_fun"], "reason": "x"},
            "INVALID_ARGUMENT",
            "mask",
        ),
        (
            "SetLevel",
            {
                "scope": api.ACCOUNT,
                "id": "A1",
                "level": 4,
                "mask": ["no_buy"],
                "symbol": "999999",
                "security_exchange": "XSHG",
                "reason": "x",
            },
            "NOT_FOUND",
            "999999",
        ),
        ("SetLevel", {"scope": api.SESSION, "id": "A1", "level": 4, "reason": "x"}, "INVALID_ARGUMENT", "session"),
        ("ReleaseLevel", {"scope": api.ACCOUNT, "id": "A1", "reason": "x"}, "FAILED_PRECONDITION", "stands at 0"),
        ("CloseTicket", {"ticket": 7, "reason": "x"}, "FAILED_PRECONDITION", "ticket"),
        ("ConfirmSuspended", {"account": "A1", "cl_ord_id": "none"}, "NOT_FOUND", "none"),
        ("GetExposure", {"scope": api.SESSION, "id": "x"}, "INVALID_ARGUMENT", "SESSION"),
        ("GetAccountState", {"id": "NOBODY"}, "NOT_FOUND", "NOBODY"),
        ("ExplainOrder", {"account": "A1", "cl_ord_id": "none"}, "NOT_FOUND", "none"),
        ("Refuse", {"proposal": 5, "reason": "x"}, "NOT_FOUND", "5"),
        ("DiffRules", {}, "INVALID_ARGUMENT", "expected files"),
        ("RollbackRules", {"reason": "x"}, "FAILED_PRECONDITION", "no rule set"),
        ("PushRules", {"reason": "x"}, "INVALID_ARGUMENT", "files"),
    ],
)
def test_bad_requests(bad_requests, method, fields, status, text):
    assert text in refused_with(grpc.StatusCode[status], getattr(bad_requests, method), **fields)


@pytest.fixture(scope="module")
def bad_requests(exchanges, tmp_path_factory):
    """Somebody who may call everything, at one gateway for all of them."""
    from tests.system.plant import Gateway

    folder = tmp_path_factory.mktemp("bad-requests")
    control = write_control_file(folder / "control.yaml")
    gateway = Gateway(exchanges, folder, flags=("--control-port", "0", "--control", str(control)))
    try:
        yield officer(gateway.start(), "both")
    finally:
        gateway.stop()


# --- kills ---


@pytest.mark.parametrize("scope", KILLED)
def test_a_kill_under_flow_stops_and_cancels(start_controlled, fronts, listen, scope):
    gateway = start_controlled(change=with_group)
    olga, anna = officer(gateway, "olga"), officer(gateway, "anna")
    listener = listen(officer(gateway, "vera"))
    name, number = KILLED[scope]
    front = fronts(gateway, "alpha", "A1", "A2")
    flow = Flow(gateway, front, "A1")
    wait_until(lambda: len(front.of("execution_report")) > 200, "flow")
    done = olga.Kill(scope=number, id=name, reason="runaway")
    flow.stop()
    assert done.total_affected_orders > 0
    rejected = front.order(limit_order("after", "A1", gateway.symbols["XSHG"][0]))
    assert rejected.reject_code == "R1501"
    wait_until(lambda: officer(gateway, "vera").GetExposure(scope=api.FIRM).open_orders == 0, "every order cancelled")
    assert officer(gateway, "vera").GetStatus().firm_killed == (scope == "firm")
    assert any(row.killed for row in olga.ListLevels().levels)
    killed = wait_until(lambda: listener.of_step("killed"), "the alert")[0]
    assert (killed.by, "runaway" in killed.reason) == ("olga", True)
    proposal = olga.Unkill(scope=number, id=name, reason="repaired")
    assert front.order(limit_order("waiting", "A1", gateway.symbols["XSHG"][0])).reject_code == "R1501"
    assert anna.Approve(proposal=proposal.id, reason="seen").state == api.IN_FORCE
    front.accepted(limit_order("again", "A1", gateway.symbols["XSHG"][0]))
    unkilled = wait_until(lambda: listener.of_step("unkilled"), "the alert")[0]
    assert (unkilled.by, unkilled.approved_by) == ("olga", "anna")


class Flow:
    """Orders of one account that rest in the book, some hundred a second, until it is stopped."""

    def __init__(self, gateway, front, account, most=5000):
        self.over = threading.Event()
        self.sent = 0
        self.thread = threading.Thread(target=self.run, args=(gateway, front, account, most), daemon=True)
        self.thread.start()

    def run(self, gateway, front, account, most):
        symbols = [*gateway.symbols["XSHG"], *gateway.symbols["XSHE"]]
        while not self.over.is_set() and self.sent < most:
            for _ in range(10):
                order = limit_order(f"f{self.sent}", account, symbols[self.sent % len(symbols)], price_e4=95_000)
                front.send(new_order=order)
                self.sent += 1
            time.sleep(0.01)

    def stop(self):
        self.over.set()
        self.thread.join(5.0)


def test_a_person_does_not_approve_his_own(start_controlled):
    gateway = start_controlled()
    both = officer(gateway, "both")
    both.Kill(scope=api.ACCOUNT, id="A1", reason="x")
    proposal = both.Unkill(scope=api.ACCOUNT, id="A1", reason="x")
    assert "both's own" in refused_with(grpc.StatusCode.PERMISSION_DENIED, both.Approve, proposal=proposal.id)
    assert both.Refuse(proposal=proposal.id, reason="taken back").state == api.REFUSED


# --- levels, reviews ---


def test_levels_and_reviews(start_controlled, fronts):
    gateway = start_controlled()
    olga, anna, vera = (officer(gateway, name) for name in ("olga", "anna", "vera"))
    symbol = gateway.symbols["XSHG"][0]
    front = fronts(gateway, "alpha", "A1")
    state = olga.SetLevel(scope=api.ACCOUNT, id="A1", level=4, mask=["no_buy"], hold_s=3600, reason="look first")
    assert (state.level, list(state.mask), state.by) == (4, ["no_buy"], "olga")
    assert front.order(limit_order("b1", "A1", symbol)).reject_code == "R1002"
    front.accepted(limit_order("s1", "A1", symbol, side=pb.SELL, price_e4=104_000))
    assert "release it" in refused_with(
        grpc.StatusCode.FAILED_PRECONDITION, olga.SetLevel, scope=api.ACCOUNT, id="A1", level=1, reason="x"
    )
    assert olga.ReleaseLevel(scope=api.ACCOUNT, id="A1", reason="seen").state == api.IN_FORCE
    assert not vera.ListLevels().levels
    front.accepted(limit_order("b2", "A1", symbol))
    olga.SetLevel(scope=api.ACCOUNT, id="A1", level=6, reason="stop")
    ticket = vera.ListTickets().tickets[0]
    assert (ticket.id, ticket.is_open, ticket.by) == ("A1", True, "olga")
    waiting = olga.ReleaseLevel(scope=api.ACCOUNT, id="A1", reason="seen")
    assert waiting.state == api.WAITING
    assert [proposal.id for proposal in vera.ListProposals().proposals] == [waiting.id]
    assert vera.GetAccountState(id="A1").levels[0].level == 6
    anna.Approve(proposal=waiting.id, reason="agreed")
    assert not olga.CloseTicket(ticket=ticket.ticket, reason="a test").is_open
    assert not vera.ListTickets().tickets
    assert len(vera.ListTickets(with_closed=True).tickets) == 1
    front.accepted(limit_order("b3", "A1", symbol))


def test_explaining_an_order(start_controlled, fronts):
    gateway = start_controlled()
    vera = officer(gateway, "vera")
    front = fronts(gateway, "narrow", "SMALLQTY")
    front.order(limit_order("big", "SMALLQTY", gateway.symbols["XSHG"][0], qty=600))
    told = vera.ExplainOrder(account="SMALLQTY", cl_ord_id="big")
    assert (told.code, told.value, told.limit, told.ord_status) == ("R1102 MAX_QTY", 600, 500, "REJECTED")
    assert vera.GetLimits(scope=api.ACCOUNT, id="SMALLQTY").limits[0].code == "R1303"


# --- alerts ---


def test_no_alert_is_missing_after_a_kill_9_of_the_control_process(start_controlled, fronts, listen):
    gateway = start_controlled()
    olga = officer(gateway, "olga")
    listener, late = listen(officer(gateway, "vera")), []
    front = fronts(gateway, "alpha", "A1")
    symbol = gateway.symbols["XSHG"][0]
    for turn in range(3):
        for number in range(20):
            set_level(olga, "A2", 1 + number % 2)
        os.kill(control_pid(gateway), signal.SIGKILL)
        for number in range(20):
            front.accepted(limit_order(f"{turn}-{number}", "A1", symbol))
        wait_until(lambda turn=turn: restarts(gateway) > turn, "the control process again")
    set_level(olga, "A2", 1)
    newest = officer(gateway, "vera").GetStatus().newest_alert_seq
    assert newest > 60
    wait_until(lambda: listener.after_seq >= newest, "every alert")
    assert listener.numbers() == list(range(1, newest + 1))
    assert listener.connections > 3
    late.append(listen(officer(gateway, "vera"), newest - 5))
    wait_until(lambda: late[0].numbers() == list(range(newest - 4, newest + 1)), "the last five")


def set_level(person, account, level):
    """A level and its release: three alerts and more."""
    person.SetLevel(scope=api.ACCOUNT, id=account, level=3, throttle_per_s=level, reason="x")
    person.ReleaseLevel(scope=api.ACCOUNT, id=account, reason="x")


def control_pid(gateway):
    """The gateway's only child process."""
    pid = gateway.child.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def restarts(gateway):
    return sum(1 for line in gateway.child.logged("control_ready"))


def test_alerts_come_within_milliseconds_under_flow(start_controlled, fronts, listen, record_property):
    gateway = start_controlled()
    olga = officer(gateway, "olga")
    listener = listen(officer(gateway, "vera"))
    flow = Flow(gateway, fronts(gateway, "alpha", "A1"), "A1", most=50_000)
    for number in range(100):
        set_level(olga, "A2", 1 + number)
    flow.stop()
    newest = olga.GetStatus().newest_alert_seq
    wait_until(lambda: listener.after_seq >= newest, "every alert")
    delays_ms = sorted(
        (received_ns - alert.time_ns) / 1e6 for received_ns, alert in listener.alerts if alert.kind == "LEVEL"
    )
    median_ms, worst_ms = statistics.median(delays_ms), delays_ms[-1]
    record_property("alert_median_ms", median_ms)
    record_property("alert_worst_ms", worst_ms)
    print(f"{len(delays_ms)} alerts under flow: median {median_ms:.1f} ms, worst {worst_ms:.1f} ms")
    assert len(delays_ms) >= 200
    assert median_ms < 50
    assert worst_ms < 5000


# --- how it starts, and how it ends ---


def test_a_port_that_is_taken_is_named(start_controlled, exchanges, tmp_path):
    gateway = start_controlled()
    with pytest.raises(StartError) as error:
        start_controlled("--control-port", str(gateway.control_port))
    assert error.value.code == 2
    lines = [line for line in error.value.said.splitlines() if not line.startswith("{")]
    assert (len(lines), "--control-port: " in lines[0]) == (1, True), lines
    assert "Traceback" not in error.value.said


def test_the_control_process_ends_with_its_shard(start_controlled):
    gateway = start_controlled()
    for end in (gateway.stop, gateway.kill):
        if gateway.child.process.poll() is not None:
            gateway.start()
        pid = control_pid(gateway)
        end()
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "no control process", 15.0)
    gateway.start()
    assert officer(gateway, "vera").GetStatus().accounts == 223


def test_metrics(start_controlled, listen):
    gateway = start_controlled()
    olga = officer(gateway, "olga")
    listen(officer(gateway, "vera"))
    olga.SetLevel(scope=api.ACCOUNT, id="A2", level=1, reason="x")
    olga.Kill(scope=api.ACCOUNT, id="A1", reason="x")
    olga.Unkill(scope=api.ACCOUNT, id="A1", reason="x")
    for line in (
        "tidegate_control_up 1.0",
        "tidegate_proposals 1.0",
        "tidegate_alert_streams 1.0",
        'tidegate_levels{level="L1"} 1.0',
        "tidegate_alerts_lag 0.0",
    ):
        wait_until(lambda line=line: line in gateway.metrics(), line, 15.0)


# --- certificates ---


def certificate(folder: Path, name: str, issuer: str = "") -> tuple[Path, Path]:
    """(certificate, key) of this common name, signed by the issuer's, or by itself."""
    key, request, made = (folder / f"{name}{suffix}" for suffix in (".key", ".csr", ".pem"))
    extension = folder / f"{name}.cnf"
    extension.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    subject = ["-subj", f"/CN={name}"]
    if not issuer:
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", made, *subject)
        return made, key
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, *subject)
    run(
        "x509",
        "-req",
        "-in",
        request,
        "-days",
        "2",
        "-CA",
        folder / f"{issuer}.pem",
        "-CAkey",
        folder / f"{issuer}.key",
        "-CAcreateserial",
        "-out",
        made,
        "-extfile",
        extension,
    )
    return made, key


def run(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates, and is not there")
def test_client_certificates(start_controlled, tmp_path):
    authority, _ = certificate(tmp_path, "authority")
    server, server_key = certificate(tmp_path, "localhost", "authority")
    control = write_control_file(tmp_path / "people.yaml", olga="olga.broker", vera="vera.broker")
    gateway = start_controlled(
        "--tls-cert", str(server), "--tls-key", str(server_key), "--tls-client-ca", str(authority), control=control
    )

    def channel_of(name):
        pair = certificate(tmp_path, name, "authority")
        credentials = grpc.ssl_channel_credentials(authority.read_bytes(), pair[1].read_bytes(), pair[0].read_bytes())
        return grpc.secure_channel(f"127.0.0.1:{gateway.control_port}", credentials)

    olga = channel_of("olga.broker")
    assert officer(gateway, "", olga).GetStatus().you == "olga"
    assert officer(gateway, "olga", olga).GetStatus().you == "olga"
    text = refused_with(grpc.StatusCode.UNAUTHENTICATED, officer(gateway, "vera", olga).GetStatus)
    assert "the token is vera's, the certificate olga's" in text
    stranger = refused_with(grpc.StatusCode.UNAUTHENTICATED, officer(gateway, "", channel_of("mallory")).GetStatus)
    assert "'mallory' is no person's subject" in stranger
    bare = grpc.secure_channel(
        f"127.0.0.1:{gateway.control_port}", grpc.ssl_channel_credentials(authority.read_bytes())
    )
    unknown = officer(gateway, "olga", bare)
    assert refused_with(
        grpc.StatusCode.UNAVAILABLE, unknown.stub.GetStatus, api.GetStatusRequest(), metadata=unknown.metadata
    )


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
    assert told.rule_set.sha256 == pushed.sha256
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
    assert vera.GetRules().in_force.by == "start"
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
