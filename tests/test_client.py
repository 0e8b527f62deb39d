"""The client's sockets against shards made of grpcio: a planned hand-over under flow, a shard that comes up late."""

import asyncio
import time

import grpc
import grpc.aio
import pytest

from gateway.client import Client, InDoubt, NotSent
from gateway.pb import order_entry_pb2 as pb
from gateway.pb import order_entry_pb2_grpc as rpc
from tests.redis_server import free_port
from tests.system.front import limit_order

MOST_WAIT_S = 0.1  # what a planned hand-over may cost a client, all in all
ACCOUNT = "A1"


class Book:
    """One account's orders and events, handed from one shard to the next."""

    def __init__(self):
        self.events = []
        self.orders = {}


class Shard(rpc.OrderEntryServicer):
    """Accepts everything for the account of its book, while it owns it."""

    def __init__(self, book):
        self.book = book
        self.redirect = ""
        self.sessions = set()
        self.server = grpc.aio.server()
        rpc.add_OrderEntryServicer_to_server(self, self.server)

    async def start(self, port=0):
        self.address = f"127.0.0.1:{self.server.add_insecure_port(f'127.0.0.1:{port}')}"
        await self.server.start()
        return self

    async def Session(self, asked, context):
        queue = asyncio.Queue()
        reading = asyncio.create_task(self.read(asked, queue))
        try:
            while (message := await queue.get()) is not None:
                yield message
                if message.session_reject.fatal:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, message.session_reject.text)
        finally:
            reading.cancel()
            self.sessions.discard(queue)

    async def read(self, asked, queue):
        async for message in asked:
            kind = message.WhichOneof("message")
            if self.redirect:
                queue.put_nowait(self.moved())
            elif kind == "logon":
                seen = message.logon.accounts[0].last_event_seq
                newest = pb.AccountCursor(account=ACCOUNT, last_event_seq=len(self.book.events))
                queue.put_nowait(pb.ServerMessage(logon_ack=pb.LogonAck(accounts=[newest])))
                for event in self.book.events[seen:]:
                    queue.put_nowait(pb.ServerMessage(execution_report=event))
                self.sessions.add(queue)
            elif kind == "new_order":
                self.accept(message.new_order, queue)
        queue.put_nowait(None)

    def accept(self, order, queue):
        report = pb.ExecutionReport(
            event_seq=len(self.book.events) + 1, account=ACCOUNT, cl_ord_id=order.cl_ord_id, symbol=order.symbol,
            order_id=len(self.book.orders) + 1, exec_type=pb.PENDING_NEW, ord_status=pb.STATUS_PENDING_NEW,
            security_exchange=order.security_exchange, side=order.side, ord_type=order.ord_type,
            order_qty_shares=order.order_qty_shares, price_e4=order.price_e4)
        if order.cl_ord_id in self.book.orders:
            report.event_seq, report.possible_duplicate = 0, True
            report.order_id = self.book.orders[order.cl_ord_id]
            queue.put_nowait(pb.ServerMessage(execution_report=report))
            return
        self.book.orders[order.cl_ord_id] = report.order_id
        self.book.events.append(report)
        for session in self.sessions:
            session.put_nowait(pb.ServerMessage(execution_report=report))

    def moved(self):
        reject = pb.SessionReject(reject_code="R1614", text="R1614 NOT_OWNER", fatal=True, redirect=self.redirect)
        return pb.ServerMessage(session_reject=reject)

    def hand_over(self, redirect):
        self.redirect = redirect
        for session in list(self.sessions):
            session.put_nowait(self.moved())


async def submit_all(client, waits, stopped):
    """An order every millisecond; how long each waited for its answer."""

    async def one(number):
        began = time.monotonic()
        report = await client.submit(limit_order(f"h{number}", ACCOUNT, "600000"))
        assert report.order_id
        waits.append(time.monotonic() - began)

    running = []
    while not stopped.is_set():
        running.append(asyncio.create_task(one(len(running))))
        await asyncio.sleep(0.001)
    await asyncio.gather(*running)
    return len(running)


def test_planned_hand_overs_cost_no_order_and_hardly_any_time():
    """Ten of them, from one process to the next and back, under a thousand orders a second."""

    async def play():
        book, waits, stopped, seen = Book(), [], asyncio.Event(), []
        shards = [await Shard(book).start(), await Shard(book).start()]
        shards[1].redirect = shards[0].address

        async def follow(client):
            async for event in client.events():
                seen.append(event.event_seq)

        async with Client([shards[0].address], "t", [ACCOUNT]) as client:
            following = asyncio.create_task(follow(client))
            loading = asyncio.create_task(submit_all(client, waits, stopped))
            for number in range(10):
                await asyncio.sleep(0.1)
                old, new = shards[number % 2], shards[1 - number % 2]
                new.redirect = ""
                old.hand_over(new.address)
            await asyncio.sleep(0.1)
            stopped.set()
            sent = await loading
            while len(seen) < sent:
                await asyncio.sleep(0.01)
        await following
        for shard in shards:
            await shard.server.stop(None)
        assert sent == len(book.orders) == len(book.events) > 300
        assert seen == list(range(1, sent + 1))
        return max(waits)

    longest_s = asyncio.run(play())
    assert longest_s < MOST_WAIT_S


def test_a_shard_that_comes_up_late_is_found_soon():
    """Nobody listens for half a second: what was never sent is said so, what waits goes out once there is a shard."""

    async def play():
        port = free_port()
        client = Client([f"127.0.0.1:{port}"], "t", [ACCOUNT])
        entering = asyncio.create_task(client.__aenter__())
        await asyncio.sleep(0.3)
        with pytest.raises(NotSent):
            await client.submit(limit_order("late-0", ACCOUNT, "600000"), 0.05)
        waiting = asyncio.create_task(client.submit(limit_order("late-1", ACCOUNT, "600000")))
        await asyncio.sleep(0.1)
        shard = await Shard(Book()).start(port)
        began = time.monotonic()
        assert (await waiting).order_id == 1
        assert time.monotonic() - began < 2.0
        await entering
        assert list(shard.book.orders) == ["late-1"]
        await client.close()
        await shard.server.stop(None)

    asyncio.run(play())


def test_a_caller_that_gives_up_leaves_nothing_behind():
    async def play():
        shard = await Shard(Book()).start()
        async with Client([shard.address], "t", [ACCOUNT]) as client:
            shard.accept = lambda order, queue: None
            with pytest.raises(InDoubt):
                await client.submit(limit_order("gone-1", ACCOUNT, "600000"), 0.05)
            asking = asyncio.create_task(client.submit(limit_order("gone-2", ACCOUNT, "600000")))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (client.futures, client.state.unanswered, client.state.accounts[ACCOUNT].requests) == ({}, 0, {})
        assert not client.streams
        await shard.server.stop(None)

    asyncio.run(play())
