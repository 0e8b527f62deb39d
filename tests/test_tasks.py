"""Tasks are over when end_tasks returns, also those that lose a cancellation."""

import asyncio

from gateway.tasks import end_tasks


def test_a_task_that_takes_its_cancellation_for_a_timeout_is_ended_all_the_same():
    lost = []

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost.append(1)

    async def fails():
        raise ValueError("by itself")

    async def main():
        tasks = [asyncio.create_task(stubborn()), asyncio.create_task(fails())]
        await asyncio.sleep(0)
        await asyncio.wait_for(end_tasks(tasks), 5)
        assert all(task.done() for task in tasks)

    asyncio.run(main())
    assert lost == [1]


def test_no_tasks_are_over_at_once():
    asyncio.run(end_tasks([]))
