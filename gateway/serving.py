"""`tidegate serve`: one shard from its first line to its exit code. Takes no decision about an order."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys

import uvloop

from ext.journal import JournalError
from gateway import transport
from gateway.homes import take_place
from gateway.log import logger
from gateway.opening import set_aside
from gateway.settings import SettingError, Settings
from gateway.shard import End, Shard

EXIT_CODES = {End.HANDED_OVER: 0, End.LOST: 3, End.FAULT: 1}
COLLECTIONS = (700, 10, 10_000)  # of the three generations; the oldest hardly ever
SWITCH_S = 0.00005  # how long another thread (the log's, a scrape's) may keep the interpreter from the owner


async def run(settings: Settings) -> tuple[End | None, Settings]:
    """Serve until SIGTERM or SIGINT, or until the shard is another's; the ready line, JSON, goes to stdout.

    Why it ended, and the settings with the ports that were taken: whoever begins anew is found where he was.
    """
    shard = Shard(settings, await take_place(settings, logger("topology")))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    shard.ended.add_done_callback(lambda _: stop.set())
    try:
        ready = await shard.start()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
        # What lives now lives as long as the process: no collection should ever walk it.
        gc.collect()
        gc.freeze()
        # Nor all that came later, while orders flow: a connection leaves no cycle behind.
        gc.set_threshold(*COLLECTIONS)
        if settings.awake:
            transport.stay_awake(asyncio.get_running_loop())
        await stop.wait()
    finally:
        how = shard.ended.result() if shard.ended.done() else None
        await shard.stop(how)
    return how, shard.settled()


def serve(settings: Settings) -> int:
    """Run one shard in this process; its exit code. Raises SettingError with one line for a person."""
    sys.setswitchinterval(SWITCH_S)
    if settings.cpu is not None:
        os.sched_setaffinity(0, {settings.cpu})
    try:
        while True:
            how, settings = uvloop.run(run(settings))
            if how is not End.ANEW:
                break
            set_aside(settings)
    except JournalError as error:
        raise SettingError(f"--journal: {error}") from None
    return EXIT_CODES[how] if how is not None else 0
