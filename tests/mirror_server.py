"""The mirror behind the native transport: `python -m tests.mirror_server [CORE]` prints its port as JSON."""

import asyncio
import json
import os
import sys

import uvloop

from ext.buffers import Turn
from gateway.transport import serve
from loadtest.mirror import mirror_service


async def main() -> None:
    """Serve until the process is ended."""
    turn = Turn(asyncio.get_running_loop().call_soon)
    server = await serve("native", mirror_service(turn), turn, "127.0.0.1", 0)
    print(json.dumps({"port": server.port}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(main())
