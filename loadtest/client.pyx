"""Sends planned orders when they are due over sessions of OrderEntry, open loop. Never waits for an answer, and never spins."""

import asyncio
import os

import numpy as np

from libc.time cimport time_t

from ext.clock cimport now_ns
from loadtest.grpc_client cimport ClientConnection, RequestHead
from loadtest.wire cimport (EVENT_HEARTBEAT, EVENT_LOGON_ACK, EVENT_MALFORMED, EVENT_SESSION_REJECT, MAX_REQUEST_SIZE,
                            ServerEvent, decode_server_message)

from gateway.pb import order_entry_pb2 as pb

cdef extern from "time.h" nogil:
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC

cdef extern from "sys/timerfd.h" nogil:
    cdef struct itimerspec:
        timespec it_interval
        timespec it_value
    int TFD_NONBLOCK, TFD_CLOEXEC
    int timerfd_create(int clock_id, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec *value, itimerspec *old)

cdef extern from "unistd.h" nogil:
    ssize_t read(int fd, void *room, size_t size)

SESSION_PATH = "/tidegate.v1.OrderEntry/Session"


cdef class LoadSession(ClientStream):
    """One front-end session: a Logon, then the requests of its accounts.

    numbers: the requests it sends, in the order they are due.
    """

    def __init__(self, ClientConnection connection, RequestHead head, LoadClient client, numbers):
        ClientStream.__init__(self, connection, head)
        self.client = client
        self.tracker = client.tracker
        self.numbers = np.ascontiguousarray(numbers, dtype=np.int32)
        self.logon_ack = asyncio.get_running_loop().create_future()
        self.broken = ""

    cdef int64_t send_due(self, int64_t now_ns) noexcept:
        cdef uint8_t *room
        cdef Py_ssize_t number
        cdef int64_t due_ns
        while self.next < self.numbers.shape[0]:
            number = self.numbers[self.next]
            due_ns = self.tracker.start_ns + self.tracker.planned_ns[number]
            if due_ns > now_ns:
                return due_ns
            if self.finished:
                return 0
            room = self.begin_message(MAX_REQUEST_SIZE)
            # The server reads too slowly: the request stays due, and its latency grows
            if room == NULL:
                return due_ns
            self.end_message(self.tracker.encode(number, room))
            self.tracker.mark_sent(number, now_ns)
            self.next += 1
        return 0

    cdef void on_message(self, const uint8_t *message, size_t size, int64_t recv_ns) except *:
        cdef ServerEvent event
        decode_server_message(message, size, &event)
        if event.kind == EVENT_LOGON_ACK and not self.logon_ack.done():
            # Before the next message is looked at: it may already be an event from before this run
            ack = pb.LogonAck.FromString((<const char *>event.body)[:event.body_size])
            self.tracker.begin_replay({cursor.account: cursor.last_event_seq for cursor in ack.accounts})
            self.logon_ack.set_result(ack)
        elif event.kind == EVENT_SESSION_REJECT:
            reject = pb.SessionReject.FromString((<const char *>event.body)[:event.body_size])
            self.break_session(f"{reject.reject_code} {reject.text or reject.field}")
        elif event.kind == EVENT_HEARTBEAT:
            if self.pong is not None and not self.pong.done():
                self.pong.set_result(None)
        else:
            self.tracker.on_event(&event, recv_ns)
            self.client.wake_if_due(recv_ns)

    cdef void on_finished(self, int status, str text) except *:
        if not self.stopping:
            self.break_session(f"gRPC status {status}: {text}")

    def break_session(self, str why) -> None:
        """Note why the session is of no more use."""
        self.broken = self.broken or why
        if not self.logon_ack.done():
            self.logon_ack.set_exception(ConnectionError(why))

    async def ping(self, double timeout_s) -> float:
        """How long the gateway takes to answer a Heartbeat, in seconds; timeout_s when it does not."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        self.pong = loop.create_future()
        self.send(pb.ClientMessage(heartbeat=pb.Heartbeat(time_ns=now_ns())).SerializeToString())
        try:
            await asyncio.wait_for(self.pong, timeout_s)
        except TimeoutError:
            return timeout_s
        return loop.time() - started

    def stop(self) -> None:
        """Half-close: from now on an end is no failure."""
        self.stopping = True
        self.half_close()


cdef class LoadClient:
    """All sessions of one run, paced by one timer.

    burst_ns: the timer is never set closer than this, so that a surge costs one wake-up per burst and not one per order; the
    wait is part of the measured latency.
    """

    def __init__(self, OrderTracker tracker, int64_t burst_ns=50_000):
        self.tracker = tracker
        self.burst_ns = burst_ns
        self.sessions = []
        self.timer_fd = -1
        self.loop = asyncio.get_running_loop()
        self.all_sent = self.loop.create_future()

    async def log_on(self, ClientConnection connection, str token, list accounts, numbers) -> None:
        """Open one session for these accounts (ids); it will send the requests `numbers`.

        Raises ConnectionError when the gateway refuses it, TimeoutError when it does not answer within 30 s.
        """
        cdef LoadSession session = LoadSession(connection, RequestHead(SESSION_PATH), self, numbers)
        logon = pb.Logon(token=token, accounts=[pb.AccountCursor(account=name) for name in accounts])
        session.send(pb.ClientMessage(logon=logon).SerializeToString())
        self.sessions.append(session)
        await asyncio.wait_for(session.logon_ack, 30)

    def start(self, int64_t start_ns) -> None:
        """Begin to send; planned times count from start_ns (UTC)."""
        self.tracker.set_start(start_ns)
        self.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        if self.timer_fd < 0:
            raise OSError("timerfd_create failed")
        self.loop.add_reader(self.timer_fd, self.on_timer)
        self.arm(start_ns, now_ns())

    def on_timer(self) -> None:
        """Send everything that is due and sleep until the next request is."""
        cdef int64_t expirations
        if read(self.timer_fd, &expirations, sizeof(expirations)) > 0:
            self.send_all_due()

    cdef void wake_if_due(self, int64_t now_ns) except *:
        if self.next_due_ns and now_ns >= self.next_due_ns and not self.waking:
            # Not from inside a read: the connection may not send before it has taken everything it read
            self.waking = True
            self.loop.call_soon(self.wake)

    def wake(self) -> None:
        """Send what is due in the loop turn in which something arrived."""
        self.waking = False
        self.send_all_due()

    cdef void send_all_due(self) noexcept:
        cdef LoadSession session
        cdef int64_t now = now_ns(), due_ns, next_ns = 0
        cdef Py_ssize_t before
        for session in self.sessions:
            before = session.next
            due_ns = session.send_due(now)
            if session.next != before:
                session.flush()
            if due_ns and (next_ns == 0 or due_ns < next_ns):
                next_ns = due_ns
        self.next_due_ns = next_ns
        if next_ns and self.timer_fd >= 0:
            self.arm(next_ns, now_ns())
        elif not self.all_sent.done():
            self.all_sent.set_result(None)

    cdef void arm(self, int64_t due_ns, int64_t now_ns) noexcept:
        cdef itimerspec timer
        cdef int64_t wait_ns = max(due_ns - now_ns, self.burst_ns)
        timer.it_interval.tv_sec = timer.it_interval.tv_nsec = 0
        timer.it_value.tv_sec, timer.it_value.tv_nsec = wait_ns // 1_000_000_000, wait_ns % 1_000_000_000
        timerfd_settime(self.timer_fd, 0, &timer, NULL)

    async def drain(self, double timeout_s) -> None:
        """Wait until every sent request is answered, every session is gone, or the time is up."""
        cdef LoadSession session
        deadline = self.loop.time() + timeout_s
        while self.tracker.answered_count < self.tracker.sent_count and self.loop.time() < deadline:
            if all([session.broken for session in self.sessions]):
                return
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Stop sending and half-close every session; the connections stay the caller's."""
        if self.timer_fd >= 0:
            self.loop.remove_reader(self.timer_fd)
            os.close(self.timer_fd)
            self.timer_fd = -1
        self.next_due_ns = 0
        for session in self.sessions:
            session.stop()

    def broken(self) -> list[str]:
        """Why sessions ended early, one line each."""
        return [f"{at}: {session.broken}" for at, session in enumerate(self.sessions) if session.broken]
