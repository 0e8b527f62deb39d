"""Commands of the load-test side: parses flags and hands over; every error is one line."""

import asyncio
import sys
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from loadtest.exchange import VENUES, Settings, run
from loadtest.flow_csv import FlowError
from loadtest.universe import UniverseError


def exchange(
    venue: Annotated[str, typer.Argument(help="XSHG or XSHE.")],
    instruments: Annotated[Path, typer.Option(help="CSV of the day's instruments.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    order_port: Annotated[int, typer.Option(min=0, max=65535, help="Order entry; 0 takes a free port.")] = 0,
    market_data_port: Annotated[int, typer.Option(min=0, max=65535, help="Market data; 0 takes a free port.")] = 0,
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="Faults on demand; 0 takes a free port.")] = 0,
    day: Annotated[str, typer.Option("--date", help="Trading day, YYYY-MM-DD.")] = "2026-11-23",
    clock: Annotated[str, typer.Option(help="Market time at the start, HH:MM:SS.")] = "09:30:00",
    end: Annotated[str, typer.Option(help="Market time at which the day ends, HH:MM:SS.")] = "15:00:00",
    speed: Annotated[float, typer.Option(min=0.001, max=100_000, help="Market seconds per second.")] = 1.0,
    quote_interval_ms: Annotated[int, typer.Option(min=1, max=60_000, help="Least time between two quotes.")] = 20,
    flow: Annotated[Path | None, typer.Option(help="CSV of recorded flow to replay, .csv or .csv.zst.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1e6, help="Generated orders and cancels a second.")] = 500.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated flow.")] = 1,
    cage: Annotated[bool, typer.Option(help="The 2 % price cage of continuous trading, in force since 2023.")] = True,
) -> None:
    """Run one exchange; one JSON line on stdout says when it listens and where. SIGTERM ends it."""
    if venue not in VENUES:
        fail(f"VENUE: {venue!r}, expected XSHG or XSHE")
    start, stop = clock_time("--clock", clock), clock_time("--end", end)
    if start >= stop:
        fail(f"--clock: {clock}, expected a time before --end {end}")
    settings = Settings(venue, instruments, host, order_port, market_data_port, control_port, trading_day(day), start, speed,
                        stop, quote_interval_ms, flow, rate, seed, cage)
    try:
        uvloop.run(run(settings))
    except (UniverseError, FlowError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{host}: cannot listen on ports {order_port}, {market_data_port}, {control_port}: {error.strerror or error}")
    except asyncio.CancelledError:
        return


def clock_time(flag: str, text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M:%S").time()
    except ValueError:
        fail(f"{flag}: {text!r}, expected HH:MM:SS")
        raise


def trading_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--date: {text!r}, expected YYYY-MM-DD")
        raise


def fail(error: str) -> None:
    """Say what is wrong in one line and end with status 2."""
    print(f"tidegate exchange: {error}", file=sys.stderr)
    raise typer.Exit(2)
