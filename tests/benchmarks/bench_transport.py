"""The native transport against grpcio's asyncio server: the same empty echo service, in turn, in one run.

Run: python -m tests.benchmarks.bench_transport [runs]

Server and client have a core each where there are two. Messages are order-sized. The client is the load client
(loadtest.grpc_client) for both servers; rows named grpcio_client repeat the comparison with grpcio's own client.
For the round trip at 1 in flight the client polls, and the native server too (gateway.transport.stay_awake), as a
gateway on a core of its own does; `asleep` rows show both servers sleeping between messages. Polling makes the grpcio
server no faster (its poller is another thread), so it is never asked to.

A figure of one run is the best of a few short slices, for both servers: what else runs on the machine only ever slows
a slice down, and it does not slow both servers at the same moment. Half of the slices of a rate are scheduled in real
time where the user may, so that a busy machine measures the servers and not its own time slices; the better half
counts, for each server its own. Nothing that polls is: in real time it would starve the kernel's own threads.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from ext.buffers import Turn
from loadtest.grpc_client import RequestHead, connect
from loadtest.grpc_pump import Pump

MESSAGE = b"o" * 80
STREAM_IN_FLIGHT = 1024
UNARY_IN_FLIGHT = 64
STREAM = "/tidegate.Echo/Stream"
UNARY = "/tidegate.Echo/Unary"
AMOUNTS = {
    "native": {"stream": 500_000, "unary": 20_000, "p50": 5_000},
    "grpcio": {"stream": 10_000, "unary": 2_000, "p50": 1_000},
}
SLICES = 4
SLICE_LIMIT_S = 60
GRPCIO_CLIENT_AMOUNT = 4_000
ALL_CORES = os.sched_getaffinity(0)


@contextlib.contextmanager
def real_time(server_pid: int) -> Iterator[None]:
    """Schedule every thread of client and server in real time; without the right to, figures are noisier, no more."""
    threads = [int(task.name) for pid in (os.getpid(), server_pid) for task in Path(f"/proc/{pid}/task").iterdir()]
    try:
        schedule(threads, os.SCHED_RR, 1)
        yield
    finally:
        schedule(threads, os.SCHED_OTHER, 0)


def schedule(threads: list[int], policy: int, priority: int) -> None:
    """Set the scheduling of these threads, where the user may and they still run."""
    for thread in threads:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))


@contextlib.contextmanager
def echo_server(transport: str, *, awake: bool = False) -> Iterator[tuple[int, int]]:
    """A server process; yields its process id and its port."""
    command = [sys.executable, "-m", "tests.benchmarks.transport_server", transport, *(["--awake"] if awake else [])]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    os.sched_setaffinity(server.pid, {min(ALL_CORES)})
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.pid, int(server.stdout.readline())
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


@contextlib.contextmanager
def on_last_core() -> Iterator[None]:
    """Keep this process on the core that the server does not use, where there are two."""
    os.sched_setaffinity(0, {max(ALL_CORES)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, ALL_CORES)


async def poll_until_done(pumping: Awaitable[None]) -> None:
    """Wait for the pump without letting the client's core fall asleep."""
    task = asyncio.ensure_future(pumping)
    while not task.done():
        await asyncio.sleep(0)
    await task


async def measure(port: int, what: str, amount: int) -> float:
    """Messages per second (`stream`, `unary`) or microseconds (`p50`) with the load client."""
    turn = Turn(asyncio.get_running_loop().call_soon)
    connection = await connect(turn, "127.0.0.1", port)
    pump = Pump(connection, RequestHead(UNARY if what == "unary" else STREAM), MESSAGE, amount)
    if what == "unary":
        await pump.run_unary(UNARY_IN_FLIGHT)
    elif what == "stream":
        await pump.run_stream(STREAM_IN_FLIGHT)
    else:
        await poll_until_done(pump.run_stream(1))
    connection.close()
    await asyncio.sleep(0.01)
    return statistics.median(pump.round_trips()) / 1e3 if what == "p50" else pump.rate()


async def measure_with_grpcio(port: int, what: str, amount: int) -> float:
    """The same with grpcio's asyncio client; `stream` keeps STREAM_IN_FLIGHT by writing and reading in two tasks."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        start = time.perf_counter()
        if what == "unary":
            call = channel.unary_unary(UNARY)

            async def repeat() -> None:
                for _ in range(amount // UNARY_IN_FLIGHT):
                    await call(MESSAGE)

            await asyncio.gather(*(repeat() for _ in range(UNARY_IN_FLIGHT)))
            return amount / (time.perf_counter() - start)
        return await stream_with_grpcio(channel.stream_stream(STREAM)(), what, amount)


async def stream_with_grpcio(stream: Any, what: str, amount: int) -> float:
    """Messages per second, or for `p50` the median round trip in microseconds, over one open stream."""
    in_flight = 1 if what == "p50" else STREAM_IN_FLIGHT
    room = asyncio.Semaphore(in_flight)
    sent_s: list[float] = []

    async def write() -> None:
        for _ in range(amount):
            await room.acquire()
            sent_s.append(time.perf_counter())
            await stream.write(MESSAGE)

    writing = asyncio.ensure_future(write())
    start = time.perf_counter()
    round_trips_us = []
    for i in range(amount):
        await stream.read()
        round_trips_us.append((time.perf_counter() - sent_s[i]) * 1e6)
        room.release()
    await writing
    elapsed_s = time.perf_counter() - start
    await stream.done_writing()
    return statistics.median(round_trips_us) if what == "p50" else amount / elapsed_s


def run_bounded(measuring: Awaitable[float]) -> float:
    """Run one measurement; TimeoutError when it does not end."""
    return uvloop.run(asyncio.wait_for(measuring, SLICE_LIMIT_S))


def best_of(what: str, measure_slice: Callable[[], float]) -> float:
    """The best of a few slices: the lowest latency, or the highest rate."""
    figures = [measure_slice() for _ in range(SLICES)]
    return min(figures) if what == "p50" else max(figures)


def best_rate(server_pid: int, what: str, measure_slice: Callable[[], float]) -> float:
    """The best of slices under the usual scheduling and of slices in real time: either may suit a server better."""
    usual = best_of(what, measure_slice)
    with real_time(server_pid):
        return max(usual, best_of(what, measure_slice))


def measure_server(transport: str) -> dict[str, float]:
    """Every figure of one server, by name."""
    figures = {}
    amounts = AMOUNTS[transport]
    with on_last_core():
        with echo_server(transport) as (pid, port):
            for what in ("stream", "unary"):
                figures[what] = best_rate(pid, what, lambda what=what: run_bounded(measure(port, what, amounts[what])))
            figures["p50"] = best_of("p50", lambda: run_bounded(measure(port, "p50", amounts["p50"])))
            for what in ("stream", "unary", "p50"):
                figures[f"grpcio_client_{what}"] = run_bounded(measure_with_grpcio(port, what, GRPCIO_CLIENT_AMOUNT))
        figures["p50_asleep"] = figures["p50"]
        if transport == "native":
            with echo_server(transport, awake=True) as (_, port):
                figures["p50"] = best_of("p50", lambda: run_bounded(measure(port, "p50", amounts["p50"])))
    return figures


def row(figure: str, native: list[float], baseline: list[float]) -> dict[str, Any]:
    """One line of the table: value and ratio are the median over runs of native against grpcio, higher is better."""
    faster = [b / n if "p50" in figure else n / b for n, b in zip(native, baseline, strict=True)]
    ratio = round(statistics.median(faster), 2)
    return {
        "value": ratio,
        "unit": "x",
        "baseline": round(statistics.median(baseline), 1),
        "ratio": ratio,
        "runs": [round(value, 2) for value in faster],
        "measured": round(statistics.median(native), 1),
        "measured_unit": "us" if "p50" in figure else "messages/s",
    }


def run(runs: int = 3) -> dict[str, dict[str, Any]]:
    """Rows by key.

    value, ratio, runs: how many times better the native server is; baseline, measured: grpcio's figure and its own.
    """
    figures: dict[str, list[dict[str, float]]] = {"native": [], "grpcio": []}
    for _ in range(runs):
        for transport, measured in figures.items():
            measured.append(measure_server(transport))
    return {
        f"transport_{name}_ratio": row(
            name, [run[name] for run in figures["native"]], [run[name] for run in figures["grpcio"]]
        )
        for name in figures["native"][0]
    }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else 3), indent=2))
