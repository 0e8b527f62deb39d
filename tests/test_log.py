"""The log: JSON lines, a bounded queue that drops and counts, a writer that survives a closed pipe."""

import io
import json
import os
import threading

import pytest

from gateway.log import LogQueue, dropped_lines, logger, rendered, start_log, stop_log


@pytest.fixture
def stopped():
    yield
    stop_log()


def lines_of(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_are_json_with_time_level_part_and_fields(stopped):
    stream = io.StringIO()
    start_log(stream)
    logger("shard").info("listening", port=7001, host="::1", odd={1, 2}.__class__)
    logger("shard").debug("hidden")
    stop_log()
    (line,) = lines_of(stream)
    assert (line["event"], line["part"], line["level"], line["port"]) == ("listening", "shard", "info", 7001)
    assert line["time"].endswith("+00:00")
    assert line["odd"] == "<class 'set'>"


def test_debug_lines_when_asked_for(stopped):
    stream = io.StringIO()
    start_log(stream, debug=True)
    logger("shard").debug("shown")
    stop_log()
    assert [line["event"] for line in lines_of(stream)] == ["shown"]


class SlowStream(io.StringIO):
    """Blocks its first write until it is let go."""

    def __init__(self):
        super().__init__()
        self.go, self.busy = threading.Event(), threading.Event()

    def write(self, text):
        self.busy.set()
        self.go.wait(10)
        return super().write(text)


def test_a_full_queue_drops_counts_and_tells(stopped):
    stream = SlowStream()
    start_log(stream, capacity_lines=8)
    log = logger("flood")
    log.info("first")
    assert stream.busy.wait(10)
    for number in range(20):
        log.info("line", number=number)
    assert dropped_lines() == 12
    stream.go.set()
    stop_log()
    lines = lines_of(stream)
    assert [line["number"] for line in lines if line["event"] == "line"] == list(range(8))
    assert [line["dropped_lines"] for line in lines if line["event"] == "log lines dropped"] == [12]


def test_a_closed_pipe_is_counted_not_raised():
    reader, writer = os.pipe()
    os.close(reader)
    log = LogQueue(os.fdopen(writer, "w"))
    log.waiting.put({"time_ns": 0, "level": "info", "event": "unheard"})
    log.stop(5)
    assert log.dropped_lines == 1
    assert not log.thread.is_alive()


def test_times_are_exact_to_the_microsecond():
    line = json.loads(rendered({"time_ns": 1_700_000_000_123_456_789, "event": "x"}))
    assert line["time"] == "2023-11-14T22:13:20.123456+00:00"


def test_secrets_are_masked():
    line = json.loads(rendered({"time_ns": 0, "event": "logon", "password": "hunter2", "token": ""}))
    assert (line["password"], line["token"]) == ("***", "")
