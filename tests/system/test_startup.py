"""A gateway that cannot start: exit code 2, one line that names what is wrong, and no traceback."""

import copy
import shutil
import socket
import subprocess

import pytest

from tests.system.front import limit_order
from tests.system.plant import DAY, Gateway, StartError


@pytest.fixture(scope="module")
def left_behind(exchanges, tmp_path_factory):
    """A gateway that ran once and was stopped."""
    gateway = Gateway(exchanges, tmp_path_factory.mktemp("left-behind"))
    try:
        gateway.start()
    finally:
        assert gateway.stop() == 0
    return gateway


@pytest.fixture
def stopped(left_behind, tmp_path):
    """That gateway, on a copy of its files; ended after the test if it runs."""
    gateway = copy.copy(left_behind)
    # Most of a journal is space kept ready: holes in the copy.
    subprocess.run(["cp", "-r", "--sparse=always", f"{left_behind.folder}/.", tmp_path], check=True)
    gateway.folder, gateway.journal = tmp_path, tmp_path / "journal"
    gateway.limits, gateway.log = tmp_path / "limits.yaml", tmp_path / "gateway.log"
    yield gateway
    gateway.stop()


def refusal_of(gateway):
    """The one line a start that fails says."""
    gateway.log.write_text("")
    with pytest.raises(StartError) as error:
        gateway.start()
    lines = [line for line in error.value.said.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, error.value.said
    assert lines[0].startswith("tidegate: error: ")
    assert "Traceback" not in error.value.said
    assert error.value.code == 2, lines
    return lines[0]


def test_it_starts_again_on_the_same_files(stopped):
    stopped.start()


def test_a_port_in_use(stopped):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stopped.flags = ("--port", str(port))
        line = refusal_of(stopped)
    assert "--port" in line
    assert str(port) in line


def test_a_metrics_port_in_use(stopped):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stopped.flags = ("--metrics-port", str(port))
        line = refusal_of(stopped)
    assert "--metrics-port" in line
    assert str(port) in line


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("cash_yuan: 1000000000", "cash_yuan: much"), "cash_yuan: got 'much'"),
        (("max_qty_shares: 1000000", "max_quantity_shares: 1000000"), "max_quantity_shares"),
        (("profile: roomy", "profile: rumy"), "profile: got 'rumy'"),
    ],
)
def test_a_limits_file_with_a_mistake(stopped, change, named):
    stopped.limits.write_text(stopped.limits.read_text().replace(*change, 1))
    stopped.log.write_text("")
    with pytest.raises(StartError) as error:
        stopped.start()
    assert error.value.code == 2
    assert named in error.value.said
    assert "limits.yaml:" in error.value.said
    assert "Traceback" not in error.value.said


def test_a_limit_on_an_instrument_that_is_not_listed(stopped):
    text = stopped.limits.read_text()
    stopped.limits.write_text(
        text.replace(f"'{stopped.symbols['XSHE'][0]}'", "'009999'").replace(
            f"symbol: {stopped.symbols['XSHE'][0]}", "symbol: '009999'"
        )
    )
    assert stopped.limits.read_text() != text
    assert "009999" in refusal_of(stopped)


def test_an_instruments_file_with_a_mistake(stopped, tmp_path):
    good = stopped.exchanges.instruments.read_text()
    broken = tmp_path / "broken.csv"
    broken.write_text(good.replace(",XSHG,", ",XSHX,", 1))
    stopped.flags = ("--instruments", str(broken))
    line = refusal_of(stopped)
    assert "broken.csv" in line
    assert "XSHX" in line


def test_a_journal_of_another_day(stopped):
    shutil.copy(stopped.journal_file, stopped.journal / "20261124-00.journal")
    stopped.flags = ("--date", "2026-11-24")
    line = refusal_of(stopped)
    assert "--journal" in line
    assert "it is of 20261123, shard 0; asked for 20261124" in line


def test_a_journal_of_another_shard(stopped):
    shutil.copy(stopped.journal_file, stopped.journal / f"{DAY.replace('-', '')}-01.journal")
    stopped.flags = ("--shard", "1")
    assert "shard 0" in refusal_of(stopped)


def test_a_file_that_is_no_journal(stopped):
    stopped.journal_file.write_bytes(b"something else" * 100)
    line = refusal_of(stopped)
    assert str(stopped.journal_file) in line
    assert "not a journal" in line


def crc32c(octets: bytes) -> int:
    """The journal's checksum of its first frame."""
    crc = 0
    for byte in octets:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc


def test_a_journal_of_another_build(stopped):
    """The first frame says how frames are laid out; here it says otherwise, under a good checksum."""
    with stopped.journal_file.open("r+b") as file:
        head = bytearray(file.read(4096))
        frame = 64  # the first, behind the file's own head
        size = int.from_bytes(head[frame : frame + 4], "little")
        assert crc32c(head[frame + 8 : frame + size]) == int.from_bytes(head[frame + 4 : frame + 8], "little")
        head[frame + size - 8] ^= 1
        head[frame + 4 : frame + 8] = crc32c(head[frame + 8 : frame + size]).to_bytes(4, "little")
        file.seek(0)
        file.write(head[: frame + size])
        file.write(bytes(1 << 20))
        file.truncate()
    assert "another build" in refusal_of(stopped)


def test_a_journal_that_another_gateway_holds(start_gateway):
    running = start_gateway()
    second = type(running)(running.exchanges, running.folder)
    line = refusal_of(second)
    assert str(running.journal_file) in line
    assert "another gateway holds it" in line


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--transport", "carrier-pigeon"), "--transport"),
        (("--date", "tomorrow"), "--date: got 'tomorrow'"),
        (("--port", "70000"), "--port"),
        (("--limits", "/none/limits.yaml"), "--limits: got '/none/limits.yaml'"),
        (("--instruments", "/none/i.csv"), "--instruments: got '/none/i.csv'"),
        (("--venue", "XLON=127.0.0.1:1"), "--venue: got 'XLON=127.0.0.1:1'"),
        (("--venue", "XSHG=127.0.0.1:1"), "expected each exchange once"),
        (("--host", "203.0.113.7"), "203.0.113.7"),
        (("--cpu", "9999"), "--cpu: got 9999"),
        (("--tls-cert", "/none.pem"), "--tls-key"),
        (("--journal", "/dev/null/journal"), "--journal: got '/dev/null/journal'"),
        (("--colour", "blue"), "--colour"),
    ],
)
def test_a_flag_that_is_wrong(stopped, flags, named):
    stopped.flags = flags
    assert named in refusal_of(stopped)


def test_a_day_with_more_orders_than_it_may_have_now(start_gateway, fronts):
    """A journal of more orders than --max-orders is refused, not folded past the end of a table."""
    gateway = start_gateway()
    front = fronts(gateway, "load", "L0001")
    for number in range(1200):
        front.send(new_order=limit_order(f"m{number}", "L0001", gateway.symbols["XSHG"][0]))
    front.report("m1199", within_s=20)
    gateway.stop()
    gateway.flags = ("--max-orders", "1000")
    line = refusal_of(gateway)
    assert "--max-orders" in line
    assert "1000" in line
