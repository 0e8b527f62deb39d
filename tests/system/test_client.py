"""The client library against real shards: its calls, shards killed under load, Redis gone, the docs' example."""

import asyncio
import collections
import contextlib
import random
import subprocess
import sys
import time

import grpc
import pytest

from gateway.client import DONE, Client, EventsLost, InDoubt, NotSent, Patience, Refused, Unreachable
from gateway.pb import order_entry_pb2 as pb
from gateway.transport import TRANSPORTS
from tests.system.front import bearer, limit_order
from tests.system.plant import ROOT, wait_until
from tests.system.shards import AT_0, AT_1, Cluster
from tests.system.test_recovery import accepted_by

ACCOUNTS = (*AT_0, *AT_1)
KILLS = 3
LOAD_EVERY_S = 0.002
FOLLOWED_S = 1.0
AWAY_S = 20.0  # a killed shard is back by then, on a busy machine too


@pytest.fixture
def start_cluster(exchanges, tmp_path):
    """start_cluster(**choices): two shards that run, ended after the test."""
    started = []

    def start(**choices):
        folder = tmp_path / f"cluster-{len(started)}"
        folder.mkdir()
        started.append(Cluster(exchanges, folder, **choices))
        started[-1].start()
        time.sleep(FOLLOWED_S)
        return started[-1]

    yield start
    for cluster in started:
        cluster.stop()


@pytest.fixture(scope="module", params=TRANSPORTS)
def cluster(request, exchanges, tmp_path_factory):
    running = Cluster(exchanges, tmp_path_factory.mktemp(f"client-{request.param}"), str(request.param))
    try:
        running.start()
        time.sleep(FOLLOWED_S)
        yield running
    finally:
        running.stop()


class Reader:
    """Takes a client's events. of: account -> its events, in the order they came."""

    def __init__(self, client):
        self.of = collections.defaultdict(list)
        self.task = asyncio.create_task(self.read(client))

    async def read(self, client):
        async for event in client.events():
            self.of[event.account].append(event)

    def sequences(self):
        return {account: [event.event_seq for event in events] for account, events in self.of.items()}

    async def until(self, holds, within_s=10.0):
        deadline = time.monotonic() + within_s
        while not holds(self.of):
            assert time.monotonic() < deadline, {account: len(events) for account, events in self.of.items()}
            await asyncio.sleep(0.01)


def test_one_client_for_every_account(cluster):
    """One seed is enough; every call finds its shard; events come from both, in sequence."""

    async def play():
        async with Client([cluster.shards[0].address], "load", ACCOUNTS) as client:
            reader = Reader(client)
            for account in (AT_0[0], AT_1[0]):
                order = limit_order(f"lib-{account}", account, cluster.symbols["XSHG"][0])
                report = await client.submit(order)
                assert report.ord_status == pb.STATUS_PENDING_NEW
                again = await client.submit(order)
                assert again.order_id == report.order_id
                order.order_qty_shares = 200
                assert (await client.submit(order)).reject_code == "R1201"
                await reader.until(lambda of, account=account: len(of[account]) >= 2)
                assert client.order(order.cl_ord_id).ord_status == pb.STATUS_NEW
                ended = await client.cancel(account, order.cl_ord_id)
                assert (ended.exec_type, ended.cl_ord_id) == (pb.CANCELED, order.cl_ord_id)
                refused = await client.cancel(account, "nothing")
                assert (type(refused), refused.reject_code) == (pb.CancelReject, "R1604")
                assert (await client.get_account(account)).open_orders == 0
                assert (await client.get_order(account, order.cl_ord_id)).state.ord_status == pb.STATUS_CANCELED
                await client.submit(limit_order(f"more-{account}", account, cluster.symbols["XSHG"][0]))
                assert (await client.mass_cancel(account)).total_affected_orders == 1
                await reader.until(lambda of, account=account: len(of[account]) >= 6)
            assert {account: len(sequence) for account, sequence in reader.sequences().items()} == {
                account: seen for account, seen in client.cursors().items() if seen
            }
        await reader.task
        for sequence in reader.sequences().values():
            assert sequence == list(range(1, len(sequence) + 1))
        return client.cursors()

    async def go_on(cursors):
        """A second client gets what came after the first, and nothing else."""
        async with Client([cluster.shards[1].address], "load", cursors) as client:
            reader = Reader(client)
            await client.submit(limit_order("lib-next", AT_1[0], cluster.symbols["XSHG"][0]))
            await reader.until(lambda of: len(of[AT_1[0]]) >= 1)
        await reader.task
        assert reader.sequences()[AT_1[0]][0] == cursors[AT_1[0]] + 1
        assert set(reader.sequences()) == {AT_1[0]}

    cursors = asyncio.run(play())
    asyncio.run(go_on(cursors))


def test_who_is_refused_is_told_at_once(cluster):
    async def refused(token, accounts, code):
        with pytest.raises(Refused) as refusal:
            async with Client([cluster.shards[0].address], token, accounts):
                pass
        assert refusal.value.code == code

    asyncio.run(refused("wrong", ACCOUNTS, "R1001"))
    asyncio.run(refused("load", ["B1"], "R1001"))
    asyncio.run(refused("load", {AT_1[1]: 10**9}, "R1605"))


def test_nobody_there_is_said_in_time(cluster):
    async def play():
        with pytest.raises(Unreachable, match=r"not logged on in .* L0001"):
            async with Client(["127.0.0.1:1"], "load", [AT_1[0]], ready_s=0.3):
                pass

    asyncio.run(play())


async def take_all(client, taken):
    async for event in client.events():
        taken.append(event.event_seq)


def test_a_reader_that_never_reads_loses_nothing_silently(cluster):
    async def play():
        account = AT_0[2]
        async with Client([cluster.shards[0].address], "load", [account], most_events=10) as client:
            for number in range(20):
                await client.submit(limit_order(f"deaf{number}", account, cluster.symbols["XSHG"][1]))
            taken = []
            with pytest.raises(EventsLost):
                await take_all(client, taken)
            assert taken == list(range(1, 11))
            cursors = client.cursors()
        async with Client([cluster.shards[0].address], "load", cursors) as client:
            reader = Reader(client)
            await reader.until(lambda of: len(of[account]) >= 30)
        assert reader.sequences()[account] == list(range(11, 11 + len(reader.of[account])))

    asyncio.run(play())


class Load:
    """Orders and cancels of some accounts through one client until told to stop; every outcome is kept."""

    def __init__(self, client, symbols, timeout_s):
        self.client, self.symbols, self.timeout_s = client, symbols, timeout_s
        self.random = random.Random(5)
        self.outcomes = {}
        self.running = set()
        self.longest_s = {0: 0.0, 1: 0.0}

    async def run(self, stopped):
        while not stopped.is_set():
            account = self.random.choice(ACCOUNTS)
            self.running.add(asyncio.create_task(self.trade(account, f"k{len(self.outcomes)}")))
            await asyncio.sleep(LOAD_EVERY_S)
        await asyncio.gather(*self.running)

    async def trade(self, account, cl_ord_id):
        price = self.random.choice((99_000, 99_500))
        order = limit_order(cl_ord_id, account, self.random.choice(self.symbols), price_e4=price)
        self.outcomes[cl_ord_id] = None
        began = time.monotonic()
        self.outcomes[cl_ord_id] = await self.client.submit(order, self.timeout_s)
        home = int(account in AT_1)
        self.longest_s[home] = max(self.longest_s[home], time.monotonic() - began)
        if self.random.random() < 0.3:
            with contextlib.suppress(InDoubt, NotSent):
                await self.client.cancel(account, cl_ord_id, timeout_s=self.timeout_s)


def test_shards_killed_under_load(start_cluster, exchanges):
    """kill -9 of one shard after the other, each started again at another port: every order is executed once, every
    event comes once, and the accounts of the other shard do not notice."""
    cluster = start_cluster()
    before = accepted_by(exchanges)

    async def play():
        seeds = [shard.address for shard in cluster.shards]
        async with Client(seeds, "load", ACCOUNTS, timeout_s=AWAY_S) as client:
            reader, stopped = Reader(client), asyncio.Event()
            load = Load(client, cluster.symbols["XSHG"], AWAY_S)
            loading = asyncio.create_task(load.run(stopped))
            for kill in range(KILLS):
                await asyncio.sleep(0.4)
                shard = cluster.shards[kill % 2]
                await asyncio.to_thread(shard.kill)
                await asyncio.to_thread(shard.start)
                await reader.until(lambda of: client.state.is_ready)
            await asyncio.sleep(0.4)
            stopped.set()
            await loading
            newest = {account: (await client.get_account(account)).event_seq for account in ACCOUNTS}
            await reader.until(lambda of: all(len(of[account]) >= newest[account] for account in ACCOUNTS))
        await reader.task
        return load, reader

    load, reader = asyncio.run(play())
    assert len(load.outcomes) > 500
    assert all(report.ord_status == pb.STATUS_PENDING_NEW or report.order_id for report in load.outcomes.values())
    for account, sequence in reader.sequences().items():
        assert sequence == list(range(1, len(sequence) + 1)), account
    reports = [event for events in reader.of.values() for event in events if isinstance(event, pb.ExecutionReport)]
    accepted = collections.Counter(report.cl_ord_id for report in reports if report.exec_type == pb.PENDING_NEW)
    assert set(accepted) == set(load.outcomes)
    assert set(accepted.values()) == {1}
    wait_until(lambda: sum(accepted_by(exchanges)) - sum(before) >= len(load.outcomes), "every order at its exchange")
    assert sum(accepted_by(exchanges)) - sum(before) == len(load.outcomes)


def test_a_stopped_shard_is_waited_for_and_the_caller_is_told_the_truth(start_cluster):
    """SIGSTOP: what was sent is in doubt, what was not is known not to be; both can be asked again afterwards."""
    cluster = start_cluster()
    account = AT_1[0]

    async def play():
        patience = Patience(logon_ns=500_000_000, heartbeat_ns=200_000_000, silence_ns=600_000_000)
        seeds = [shard.address for shard in cluster.shards]
        async with Client(seeds, "load", ACCOUNTS, patience=patience) as client:
            first = limit_order("stop-1", account, cluster.symbols["XSHG"][0])
            second = limit_order("stop-2", account, cluster.symbols["XSHG"][0])
            process = cluster.shards[1].child.process
            process.send_signal(19)
            try:
                with pytest.raises(InDoubt):
                    await client.submit(first, 0.3)
                await asyncio.sleep(0.6)
                assert not client.state.accounts[account].session.is_live
                with pytest.raises(NotSent):
                    await client.submit(second, 0.1)
                other = await client.submit(limit_order("stop-3", AT_0[0], cluster.symbols["XSHG"][0]))
                assert other.order_id
            finally:
                process.send_signal(18)
            reports = [await client.submit(order, 10.0) for order in (first, second)]
            assert [report.order_id > 0 for report in reports] == [True, True]
            assert reports[0].order_id != reports[1].order_id
            for name in ("stop-1", "stop-2"):
                assert (await client.cancel(account, name)).ord_status in DONE

    asyncio.run(play())


def test_the_raw_protocol_is_enough(cluster):
    """What docs/front-end.md promises, in a dozen lines of grpcio: follow `redirect`, whatever the call."""
    order = limit_order("raw-1", AT_1[2], cluster.symbols["XSHG"][2])
    stub, channels = cluster.shards[0].stub(), []
    for _ in range(3):
        report = stub.Submit(order, **bearer("load"))
        if report.reject_code != "R1610":
            break
        channels.append(grpc.insecure_channel(report.redirect))
        stub = type(stub)(channels[-1])
    assert report.ord_status == pb.STATUS_PENDING_NEW
    assert len(channels) == 1
    channels[0].close()


def test_the_example_of_the_docs_runs(cluster):
    """docs/client.md's program, word for word but for address, token, account and security."""
    text = (ROOT / "docs" / "client.md").read_text().split("```python\n")[1].split("```")[0]
    names = {"127.0.0.1:7001": cluster.shards[0].address, '"demo"': '"load"', '"A1"': f'"{AT_1[1]}"'}
    for name, ours in (names | {"600519": cluster.symbols["XSHG"][3]}).items():
        assert name in text
        text = text.replace(name, ours)
    command = [sys.executable, "-c", text]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "submitted: STATUS_PENDING_NEW" in ran.stdout
    assert "ended: STATUS_CANCELED" in ran.stdout
    assert f"{AT_1[1]} 3 docs-1" in ran.stdout
