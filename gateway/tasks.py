"""Ending tasks for good. Starts none."""

import asyncio
from collections.abc import Collection
from typing import Any

PATIENCE_S = 0.2


async def end_tasks(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they are over, whatever they end with.

    One cancellation can be lost: a timeout that expires in the same moment takes it for its own, and the task goes on.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=PATIENCE_S)
    await asyncio.gather(*tasks, return_exceptions=True)
