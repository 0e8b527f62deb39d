"""How many orders a second one exchange takes, matches and answers through a socket: python -m tests.bench_exchange.

The frames are encoded beforehand and the answers are only counted, so the driver costs next to nothing; the
exchange's own CPU time is shown beside the wall time, because on a busy machine only that is its own property.
"""

import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from loadtest.universe import read_universe, write_universe
from tests.venue_client import Control, VenueClient, running_exchange

ORDERS = 300_000


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def frames(client: VenueClient, instruments: Path, venue: str) -> bytes:
    """Limit orders around the previous closes of 500 shares; about half of them trade."""
    draw = random.Random(1)
    listed = [i for i in read_universe(instruments) if i.security_exchange == venue and i.status == "NORMAL"][:500]
    octets = []
    for number in range(ORDERS):
        share, side = draw.choice(listed), draw.choice((1, 2))
        price = (share.prev_close_e4 + draw.randint(-3, 3) * 100) / 10_000
        octets.append(client.order(f"o{number}", int(share.symbol), side, price, 200))
    return b"".join(octets)


def measure(venue: str, instruments: Path) -> str:
    with running_exchange(venue, instruments, "--rate", "0") as ready:
        client, control = VenueClient(venue, ready["order_entry_port"]), Control(ready["control_port"])
        octets = frames(client, instruments, venue)
        began_s, began_cpu_s = time.perf_counter(), cpu_s(ready["pid"])
        sender = threading.Thread(target=client.socket.sendall, args=(octets,))
        sender.start()
        client.socket.settimeout(1.0)
        last_s = began_s
        try:
            while client.socket.recv(1 << 20):
                last_s = time.perf_counter()
        except TimeoutError:
            sender.join()
        used_s = cpu_s(ready["pid"]) - began_cpu_s
        status = control("status")
    answered = status["accepted"] + status["rejected"]
    return (f"{venue}: {answered} orders, {status['trades']} trades: {answered / (last_s - began_s):,.0f} orders/s "
            f"wall, {answered / used_s:,.0f} orders/s of its CPU time")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        instruments = Path(folder) / "instruments.csv"
        write_universe(instruments, seed=1)
        for venue in sys.argv[1:] or ["XSHG", "XSHE"]:
            print(measure(venue, instruments))


if __name__ == "__main__":
    main()
