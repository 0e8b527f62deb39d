"""A day in many journal files under a real gateway: read while it is written, killed, continued, compressed."""

import threading

from ext import replay
from gateway.journal_compact import Compaction
from gateway.journal_file import JournalFile, segments_of
from gateway.pb import order_entry_pb2 as pb
from tests.system.front import bearer, limit_order
from tests.system.plant import tidegate, wait_until

ACCOUNTS = [f"L{number:04d}" for number in range(1, 41)]
ORDERS = 6000
BATCH = 50


class Load(threading.Thread):
    """Orders of many accounts, until all are sent or it is told to stop."""

    def __init__(self, gateway, front, first):
        super().__init__()
        self.gateway, self.front, self.first = gateway, front, first
        self.over = threading.Event()
        self.start()

    def run(self):
        for number in range(self.first, self.first + ORDERS, BATCH):
            if self.over.wait(0.01):
                return
            for at in range(number, number + BATCH):
                symbol = self.gateway.symbols["XSHG"][at % 6]
                self.front.send(new_order=limit_order(f"s{at}", ACCOUNTS[at % 40], symbol, price_e4=95_000))


def newest_seq(gateway):
    stub = gateway.stub()
    return {name: stub.GetAccount(pb.GetAccountRequest(account=name), **bearer("load")).event_seq for name in ACCOUNTS}


def folded_frames(gateway):
    file = JournalFile(gateway.journal_file, writable=False)
    try:
        return replay.scan(file.journal)
    finally:
        file.close()


def test_a_day_in_many_files(start_gateway, fronts):
    gateway = start_gateway(flags=("--segment-mib", "1"))
    front = fronts(gateway, "load", *ACCOUNTS)
    load = Load(gateway, front, 0)
    for least in (200, 1500, 3000):
        wait_until(lambda least=least: len(front.messages) > least, "load", 60)
        verified = tidegate("journal", "verify", str(gateway.journal))
        assert verified.returncode == 0, f"read while it is written: {verified.stderr}"
    load.join()
    wait_until(lambda: len(front.named()) >= ORDERS, "every report", 60)
    frames = folded_frames(gateway)
    acknowledged = {name: len(front.sequence(name)) for name in ACCOUNTS}
    gateway.kill()
    written = [file for file in segments_of(gateway.journal_file).values() if any(file.read_bytes()[:4096])]
    assert len(written) >= 3, "the day was meant to be longer"
    assert folded_frames(gateway) >= frames

    gateway.start()
    assert all(newest_seq(gateway)[name] >= count for name, count in acknowledged.items())
    front = fronts(gateway, "load", *ACCOUNTS, seen=acknowledged)
    front.accepted(limit_order("after", "L0001", gateway.symbols["XSHG"][0], price_e4=95_000))
    front.end()
    assert gateway.stop() == 0
    left = segments_of(gateway.journal_file)
    assert len(left) == len(written), "files that nothing was written to are removed"
    verified, replayed = (tidegate("journal", command, str(gateway.journal)) for command in ("verify", "replay"))
    assert (verified.returncode, replayed.returncode) == (0, 0), verified.stderr + replayed.stderr
    assert gateway.child.logged("stopped")[-1]["state_hash"] in replayed.stdout

    lines = list(Compaction(gateway.journal, None, False, False, today=20990101).run())
    assert len(lines) == len(left)
    assert all("and read back" in line for line in lines)
    again = [tidegate("journal", command, str(gateway.journal)).stdout for command in ("verify", "replay")]
    assert again == [verified.stdout, replayed.stdout]
    told = tidegate(*gateway.arguments())
    assert told.returncode == 2
    assert "this day is over: its journal is compressed" in told.stderr
