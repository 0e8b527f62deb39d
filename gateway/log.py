"""The log: JSON lines from a bounded queue, written by one thread; the caller never waits for a disk or a pipe.

When the queue is full a line is dropped and counted; the count is itself logged and exported. It is not for the path of
an order: nothing there logs.
"""

import queue
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TextIO

import msgspec
import structlog

CAPACITY_LINES = 10_000
BATCH_LINES = 256
SECRETS = {"password", "token", "authorization"}  # fields whose values no log may hold
Event = MutableMapping[str, Any]


class LogQueue:
    """Takes events from any thread, writes them from its own."""

    def __init__(self, stream: TextIO, capacity_lines: int = CAPACITY_LINES) -> None:
        self.stream = stream
        self.dropped_lines = 0
        self.reported_lines = 0  # of the dropped ones, how many the log itself has told of
        self.waiting: queue.Queue[Event | None] = queue.Queue(capacity_lines)
        self.thread = threading.Thread(target=self.serve, name="tidegate-log", daemon=True)
        self.thread.start()

    def push(self, _logger: Any, level: str, event: Event) -> NoReturn:
        """The last structlog step: queues the event as it is; rendering is the thread's work."""
        try:
            self.waiting.put_nowait({"time_ns": time.time_ns(), "level": level, **event})
        except queue.Full:
            self.dropped_lines += 1
        raise structlog.DropEvent

    def serve(self) -> None:
        open_to_more = True
        while open_to_more:
            events = [self.waiting.get()]
            while len(events) < BATCH_LINES and not self.waiting.empty():
                events.append(self.waiting.get())
            open_to_more = None not in events
            self.write([event for event in events if event is not None])

    def write(self, events: list[Event]) -> None:
        dropped_lines = self.dropped_lines
        if dropped_lines > self.reported_lines:
            events.append({"time_ns": time.time_ns(), "level": "warning", "event": "log lines dropped",
                           "dropped_lines": dropped_lines})
            self.reported_lines = dropped_lines
        try:
            self.stream.write("".join(rendered(event) for event in events))
            self.stream.flush()
        except (OSError, ValueError):  # the pipe's reader went away, or the stream was closed
            self.dropped_lines += len(events)

    def stop(self, timeout_s: float) -> None:
        """Writes what waits, for at most this long."""
        try:
            self.waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self.thread.join(timeout_s)


def rendered(event: Event) -> str:
    """One event as one line of JSON, its time as UTC with microseconds."""
    line: dict[str, Any] = {key: "***" if key in SECRETS and value else value for key, value in event.items()}
    time_ns = line.pop("time_ns")
    error = line.pop("exc_info", None)
    if isinstance(error, BaseException):
        line["traceback"] = "".join(traceback.format_exception(error))
    stamp = datetime.fromtimestamp(time_ns // 1000 / 1_000_000, UTC).isoformat(timespec="microseconds")
    return msgspec.json.encode({"time": stamp, **line}, enc_hook=str).decode() + "\n"


class Current:
    """The process's one log."""

    log: LogQueue | None = None


def start_log(stream: TextIO | None = None, debug: bool = False, capacity_lines: int = CAPACITY_LINES) -> None:
    """Starts the log of this process (to stderr), or starts it anew."""
    stop_log()
    Current.log = LogQueue(stream or sys.stderr, capacity_lines)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, Current.log.push],
        wrapper_class=structlog.make_filtering_bound_logger("debug" if debug else "info"),
        cache_logger_on_first_use=False,
    )


def stop_log(timeout_s: float = 2.0) -> None:
    if Current.log is not None:
        Current.log.stop(timeout_s)
        Current.log = None


def logger(part: str) -> Any:
    """A logger whose lines carry `part`: logger("shard").info("listening", port=7001)."""
    return structlog.get_logger(part=part)


class Sparing:
    """A log for events that come by the thousand: a few lines a second of each; the next says how many were left out.

    log: called with the event and its fields.
    """

    def __init__(self, log: Callable[..., None], most_per_s: int = 20) -> None:
        self.log = log
        self.most_per_s = most_per_s
        self.second = 0
        self.written: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()

    def __call__(self, event: str, **fields: Any) -> None:
        second = int(time.monotonic())
        if second != self.second:
            self.second = second
            self.written.clear()
        if self.written[event] >= self.most_per_s:
            self.left_out[event] += 1
            return
        self.written[event] += 1
        left_out = self.left_out.pop(event, 0)
        self.log(event, **fields, **({"left_out": left_out} if left_out else {}))


def dropped_lines() -> int:
    """Lines dropped since the log started, for the metrics."""
    return Current.log.dropped_lines if Current.log else 0
