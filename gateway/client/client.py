"""The client for asyncio: one object for all shards of a cluster. It decides nothing: client_state.py does; this file
has the sockets, the clock and the futures.
"""

import asyncio
import contextlib
import itertools
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from gateway.client import requests
from gateway.client.client_state import Answered, Broken, ClientState, Event, Failed, Notice, Output
from gateway.client.errors import Closed, EventsLost, NotSent, Unreachable
from gateway.client.requests import Answer, Request
from gateway.client.session_state import Close, Open, Patience, Send, pause_ns
from gateway.pb import control_pb2 as control
from gateway.pb import control_pb2_grpc
from gateway.pb import order_entry_pb2 as pb
from gateway.pb import order_entry_pb2_grpc as rpc

NS_PER_S = 1_000_000_000
MOST_MESSAGE_BYTES = 1 << 24
TOPOLOGY_S = 2.0  # between two looks at the topology
# A channel of its own for each try: a shared one would make a new try wait for the pause of the one before.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
)
REDIRECT = "redirect="

Report = pb.ExecutionReport | pb.CancelReject


class Client:
    """Trades and watches some accounts of one token, wherever they live.

    seeds: host:port of one shard or more (and of standbys). accounts: ids, each from the first event of today; or {id:
    newest event seen}. timeout_s: how long a request waits for its answer unless told otherwise. grace_ms: cancel open
    orders so long after the last stream ended (None: never); leave room for a reconnect. control: host:port of control
    ports, asked with control_token where shards and standbys are. credentials: of TLS, None: none. on_notice: called
    with each RiskNotice.
    """

    def __init__(
        self,
        seeds: Iterable[str],
        token: str,
        accounts: Iterable[str] | Mapping[str, int],
        *,
        timeout_s: float = 5.0,
        ready_s: float = 10.0,
        grace_ms: int | None = None,
        control: Iterable[str] = (),
        control_token: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        on_notice: Callable[[pb.RiskNotice], None] | None = None,
        patience: Patience | None = None,
        most_events: int = 1 << 16,
        most_unanswered: int = 10_000,
    ) -> None:
        cursors = dict(accounts) if isinstance(accounts, Mapping) else dict.fromkeys(accounts, 0)
        addresses = list(seeds)
        if not addresses or not cursors:
            raise ValueError("expected at least one seed and one account")
        self.state = ClientState(
            addresses,
            token,
            cursors,
            random.random,
            patience=patience,
            grace_ms=grace_ms,
            most_unanswered=most_unanswered,
        )
        self.token = token
        self.timeout_s = timeout_s
        self.ready_s = ready_s
        self.control = list(control)
        self.control_token = control_token
        self.credentials = credentials
        self.on_notice = on_notice
        self.most_events = most_events
        self.queue: deque[Report] = deque()
        self.taken = dict(cursors)
        self.changed = asyncio.Event()
        self.end: Exception | None = None  # what the events end with
        self.is_followed = False
        self.futures: dict[Request, asyncio.Future[Answer]] = {}
        self.streams: dict[int, Stream] = {}
        self.ending: set[asyncio.Task[None]] = set()
        self.channels: dict[str, grpc.aio.Channel] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.watching: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()
        prefix = secrets.token_hex(4)
        self.names = (f"{prefix}-{number}" for number in itertools.count(1))

    async def __aenter__(self) -> Self:
        """Logged on with every account. Raises Refused when the gateway will not have it, Unreachable when nobody
        answers."""
        if self.control:
            self.watching = asyncio.create_task(self.watch_topology())
        self.run(lambda now_ns: self.state.on_time(now_ns))
        try:
            await asyncio.wait_for(self.ready.wait(), self.ready_s)
        except TimeoutError:
            waiting = sorted(name for name, one in self.state.accounts.items() if not one.session.is_live)
            await self.close()
            text = f"not logged on in {self.ready_s:g} s: {', '.join(waiting[:5])}{' ...' if len(waiting) > 5 else ''}"
            raise Unreachable(text) from None
        if self.state.error is not None:
            await self.close()
            raise self.state.error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every stream. Open orders stay open, unless grace_ms was asked for."""
        if self.timer is not None:
            self.timer.cancel()
        self.run(lambda now_ns: self.state.break_off(Closed("the client was closed")))
        if self.watching is not None:
            self.watching.cancel()
        tasks = [*self.ending, *([self.watching] if self.watching else [])]
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in self.channels.values():
            await channel.close()
        self.channels.clear()

    # What callers ask

    async def submit(self, order: pb.NewOrder, timeout_s: float | None = None) -> pb.ExecutionReport:
        """Send an order; its first report: accepted, suspended or rejected, all are answers.

        Raises NotSent when it was certainly never sent, InDoubt when it was and nothing came back: submit the same
        order again to find out. Safe against losing the connection, the shard and the answer: it is executed once at
        most.
        """
        answer = await self.answer(requests.new_order(order, self.deadline_ns(timeout_s)))
        assert isinstance(answer, pb.ExecutionReport)
        return answer

    async def cancel(
        self, account: str, orig_cl_ord_id: str, *, cl_ord_id: str = "", timeout_s: float | None = None
    ) -> Report:
        """Cancel an order; the report that ended it (cancelled, or filled before), or the CancelReject that says why
        not.

        Waits while the exchange takes no cancels; give it time, or take InDoubt for what it is. Raises as submit does.
        """
        cancel = pb.CancelOrder(cl_ord_id=cl_ord_id or next(self.names), account=account, orig_cl_ord_id=orig_cl_ord_id)
        answer = await self.answer(requests.cancel_order(cancel, self.deadline_ns(timeout_s)))
        assert not isinstance(answer, pb.MassCancelReport)
        return answer

    async def mass_cancel(
        self, account: str, *, timeout_s: float | None = None, **narrowed: Any
    ) -> pb.MassCancelReport:
        """Cancel the account's open orders, narrowed by symbol and security_exchange, or side; how many are on their
        way."""
        request = pb.MassCancelRequest(cl_ord_id=next(self.names), account=account, **narrowed)
        answer = await self.answer(requests.mass_cancel(request, self.deadline_ns(timeout_s)))
        assert isinstance(answer, pb.MassCancelReport)
        return answer

    def order(self, cl_ord_id: str, account: str | None = None) -> pb.ExecutionReport | None:
        """The newest report of an order of today, as far as its events have come; None when there is none."""
        names = self.state.accounts if account is None else (account,)
        found = (self.state.orders.get((name, cl_ord_id)) for name in names)
        return next((report for report in found if report is not None), None)

    async def events(self) -> AsyncIterator[Report]:
        """Every event of the accounts, each account's in sequence, each exactly once, over all reconnects, until
        close().

        For one reader at a time. Raises EventsLost when it was too slow, Refused when the gateway will not have the
        client.
        """
        if self.is_followed:
            raise RuntimeError("events() is being read already")
        self.is_followed = True
        try:
            while True:
                while self.queue:
                    event = self.queue.popleft()
                    yield event
                    self.taken[event.account] = event.event_seq
                if isinstance(self.end, Closed):
                    return
                if self.end is not None:
                    raise self.end
                self.changed.clear()
                await self.changed.wait()
        finally:
            self.is_followed = False

    def cursors(self) -> dict[str, int]:
        """The newest event of each account that events() has given and its reader is done with: where a new client
        begins."""
        return dict(self.taken)

    async def get_account(self, account: str, timeout_s: float | None = None) -> pb.Account:
        """Cash, positions and limits in use."""
        found: pb.Account = await self.call("GetAccount", account, pb.GetAccountRequest(account=account), timeout_s)
        return found

    async def get_order(self, account: str, cl_ord_id: str, timeout_s: float | None = None) -> pb.Order:
        """The order as the gateway has it. Raises grpc.aio.AioRpcError with NOT_FOUND when it has none."""
        request = pb.GetOrderRequest(account=account, cl_ord_id=cl_ord_id)
        found: pb.Order = await self.call("GetOrder", account, request, timeout_s)
        return found

    # The machine and its clock

    def deadline_ns(self, timeout_s: float | None) -> int:
        return self.now_ns() + int((self.timeout_s if timeout_s is None else timeout_s) * NS_PER_S)

    def now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * NS_PER_S)

    async def answer(self, request: Request) -> Answer:
        """Ask the machine, and wait for what it says."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.futures[request] = future
        try:
            self.run(lambda now_ns: self.state.ask(request, now_ns))
            return await future
        finally:
            self.futures.pop(request, None)
            self.state.forget(request)

    def run(self, feed: Callable[[int], None]) -> None:
        """One input of the machine, then all it wants done, then its next alarm."""
        loop = asyncio.get_running_loop()
        try:
            feed(self.now_ns())
        finally:
            while outputs := self.state.take():
                for output in outputs:
                    self.perform(output)
            if self.timer is not None:
                self.timer.cancel()
            due_ns = self.state.next_ns() if self.state.error is None else None
            self.timer = loop.call_at(due_ns / NS_PER_S, self.run, self.state.on_time) if due_ns is not None else None
            if self.state.is_ready or self.state.error is not None:
                self.ready.set()

    def perform(self, output: Output) -> None:
        match output:
            case Event(message):
                self.queue_event(message)
            case Send(stream, message):
                self.streams[stream].outgoing.put_nowait(message)
            case Answered(request, answer):
                self.settle(request, answer)
            case Failed(request, error):
                self.settle(request, error)
            case Open(stream, address):
                self.streams[stream] = Stream(self, stream, address)
            case Close(stream):
                self.drop(stream)
            case Broken(error):
                self.end = self.end or error
                self.changed.set()
            case Notice(message):
                if self.on_notice is not None:
                    self.on_notice(message)

    def settle(self, request: Request, outcome: Answer | Exception) -> None:
        future = self.futures.get(request)
        if future is None or future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def queue_event(self, event: Report) -> None:
        if self.end is not None:
            return
        if len(self.queue) >= self.most_events:
            text = f"{len(self.queue)} events wait for their reader; {event.account} goes on with {event.event_seq}"
            self.end = EventsLost(text)
        else:
            self.queue.append(event)
        self.changed.set()

    def drop(self, number: int) -> None:
        """End a stream; its task lives a moment longer, and says nothing any more."""
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        stream.task.cancel()

    # Other calls

    def channel(self, address: str) -> grpc.aio.Channel:
        if self.credentials is None:
            return grpc.aio.insecure_channel(address, OPTIONS)
        return grpc.aio.secure_channel(address, self.credentials, OPTIONS)

    async def call(self, method: str, account: str, request: Any, timeout_s: float | None) -> Any:
        """One unary call about an account at its shard, again where it lives or once somebody answers, until its time
        is over."""
        deadline_ns = self.deadline_ns(timeout_s)
        session = self.state.accounts[account].session
        address, failures = session.home, 0
        while (left_ns := deadline_ns - self.now_ns()) > 0:
            if address not in self.channels:
                self.channels[address] = self.channel(address)
            call = getattr(rpc.OrderEntryStub(self.channels[address]), method)
            try:
                return await call(
                    request, metadata=(("authorization", f"Bearer {self.token}"),), timeout=left_ns / NS_PER_S
                )
            except grpc.aio.AioRpcError as error:
                _, is_elsewhere, redirect = (error.details() or "").partition(REDIRECT)
                if not is_elsewhere and error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                failures += 1
                await self.channels.pop(address).close()
                address = redirect or self.state.accounts[account].session.home
                await asyncio.sleep(pause_ns(failures, random.random) / NS_PER_S)
        raise NotSent(f"{method} of account {account}: no shard answered in time")

    async def watch_topology(self) -> None:
        """Where shards and standbys are, as any of the control ports knows it."""
        metadata = (("authorization", f"Bearer {self.control_token}"),)
        for address in itertools.cycle(self.control):
            with contextlib.suppress(grpc.aio.AioRpcError):
                async with self.channel(address) as channel:
                    stub = control_pb2_grpc.ControlStub(channel)
                    request = control.GetTopologyRequest()
                    topology = await stub.GetTopology(request, metadata=metadata, timeout=TOPOLOGY_S)
                    places = [place for shard in topology.shards for place in (shard.address, shard.standby_address)]
                    self.state.on_topology(places)
            await asyncio.sleep(TOPOLOGY_S)


class Stream:
    """One Session stream: messages out of the machine's queue, messages into it."""

    def __init__(self, client: Client, number: int, address: str) -> None:
        self.client = client
        self.number = number
        self.address = address
        self.outgoing: asyncio.Queue[pb.ClientMessage] = asyncio.Queue()
        self.task = asyncio.create_task(self.follow())
        client.ending.add(self.task)
        self.task.add_done_callback(client.ending.discard)

    async def follow(self) -> None:
        """From opening it to its end; each message is one input of the machine."""
        client, number = self.client, self.number
        status, text = grpc.StatusCode.UNKNOWN, ""
        async with client.channel(self.address) as channel:
            call = rpc.OrderEntryStub(channel).Session()
            writing = asyncio.create_task(self.write(call))
            try:
                client.run(lambda now_ns: client.state.on_open(number, now_ns))
                while (message := await call.read()) is not grpc.aio.EOF:
                    self.receive(message)
                status, text = await call.code(), await call.details()
            except grpc.aio.AioRpcError as error:
                status, text = error.code(), error.details() or ""
            finally:
                writing.cancel()
                call.cancel()
        client.streams.pop(number, None)
        client.run(lambda now_ns: client.state.on_closed(number, status.name, text, now_ns))

    def receive(self, message: pb.ServerMessage) -> None:
        self.client.run(lambda now_ns: self.client.state.on_message(self.number, message, now_ns))

    async def write(self, call: Any) -> None:
        """What the machine sends, in order. A stream that broke ends at its reading side."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while True:
                await call.write(await self.outgoing.get())
