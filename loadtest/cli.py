"""Commands of the load-test side: parses flags and hands over; every error is one line."""

import asyncio
import sys
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from loadtest.exchange import Settings, run
from loadtest.flow_csv import FlowError
from loadtest.load_cli import load
from loadtest.universe import UniverseError
from loadtest.venue_acceptor import VENUES, MemberConfig

DEFAULT_MEMBERS = ["TIDEGATE:T00001"]

__all__ = ["exchange", "load"]


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
    speed: Annotated[float, typer.Option(min=0, max=100_000, help="Market seconds per second; 0 stands still.")] = 1.0,
    quote_interval_ms: Annotated[int, typer.Option(min=1, max=60_000, help="Least time between two quotes.")] = 20,
    feed_limit_mib: Annotated[int, typer.Option(min=1, max=1024, help="Unread MiB that cut a feed's reader.")] = 8,
    flow: Annotated[Path | None, typer.Option(help="CSV of recorded flow to replay, .csv or .csv.zst.")] = None,
    rate: Annotated[float, typer.Option(min=0, max=1e6, help="Generated orders and cancels a second.")] = 500.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the generated flow.")] = 1,
    empty: Annotated[bool, typer.Option("--empty", help="No seeds and no generated flow.")] = False,
    member: Annotated[list[str], typer.Option(help="COMPID:PBU[:PASSWORD]; may repeat.")] = DEFAULT_MEMBERS,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Report partitions (SetID, PartitionNo).")] = 1,
    cage: Annotated[bool, typer.Option(help="The 2 % price cage of continuous trading, in force since 2023.")] = True,
) -> None:
    """Run one exchange; one JSON line on stdout says when it listens and where. SIGTERM ends it."""
    if venue not in VENUES:
        fail(f"VENUE: {venue!r}, expected XSHG or XSHE")
    start, stop = clock_time("--clock", clock), clock_time("--end", end)
    if start >= stop:
        fail(f"--clock: {clock}, expected a time before --end {end}")
    settings = Settings(
        venue=venue, instruments=instruments, host=host, order_port=order_port, market_data_port=market_data_port,
        control_port=control_port, day=trading_day(day), clock=start, speed=speed, end=stop,
        quote_interval_ms=quote_interval_ms, feed_limit_mib=feed_limit_mib, flow=flow, rate_per_s=rate, seed=seed,
        empty=empty, cage=cage,
        members=[member_of(text) for text in member], partitions=partitions)
    try:
        uvloop.run(run(settings))
    except (UniverseError, FlowError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{host}: cannot listen on ports {order_port}, {market_data_port}, {control_port}: {error}")
    except asyncio.CancelledError:
        return


def member_of(text: str) -> MemberConfig:
    comp_id, pbu, password = [*text.split(":", 2), "", ""][:3]
    if not 0 < len(comp_id) <= 20 or not 0 < len(pbu) <= 6 or len(password) > 16:
        fail(f"--member: {text!r}, expected COMPID:PBU[:PASSWORD] of at most 20, 6 and 16 characters")
    return MemberConfig(comp_id, pbu, password)


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


if __name__ == "__main__":
    typer.run(exchange)
