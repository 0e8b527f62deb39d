"""The empty echo service in a process of its own, for bench_transport: prints its port, ends when stdin closes."""

import asyncio
import sys

import uvloop
from ext.buffers import Turn
from ext.echo import echo_service

from gateway.transport import serve, stay_awake


async def main(transport: str, awake: bool) -> None:
    loop = asyncio.get_running_loop()
    turn = Turn(loop.call_soon)
    server = await serve(transport, echo_service(turn), turn, "127.0.0.1", 0)
    print(server.port, flush=True)
    if awake:
        stay_awake(loop)
    stdin_closed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stdin_closed.set)
    await stdin_closed.wait()
    await server.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], "--awake" in sys.argv))
