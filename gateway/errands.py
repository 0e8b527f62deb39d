"""Work that no order may wait for: small steps, a little of them in each loop turn. Knows nothing of what they do."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from time import monotonic_ns
from typing import Any

BUDGET_NS = 100_000  # of one loop turn; one step may pass it
RESTS = 3  # times as long as it worked, it leaves the loop to orders
Step = Callable[[], bool]  # does a little; True once there is nothing more to do


class Errands:
    """Steps in turn, oldest first, each again until it is done: at most a quarter of the time, in pieces.

    Log-ons, the past of a session that comes back, ends of sessions, cold calls: thousands of them at once make each of
    them slower, and an order hardly.
    """

    def __init__(self, budget_ns: int = BUDGET_NS, rests: int = RESTS) -> None:
        self.budget_ns = budget_ns
        self.rests = rests
        self.waiting: deque[Step] = deque()
        self.charged_ns = 0
        self.resume_ns = 0
        self.running = False

    def add(self, step: Step) -> None:
        """Run this step until it is done, from the next loop turn on."""
        self.waiting.append(step)
        if not self.running:
            self.running = True
            asyncio.get_running_loop().call_soon(self.turn)

    def charge(self, ns: int) -> None:
        """A step will cost this much more, outside of itself."""
        self.charged_ns += ns

    def turn(self) -> None:
        """Once a loop turn, while there is anything to do."""
        began_ns = monotonic_ns()
        if began_ns >= self.resume_ns:
            now_ns = self.work(began_ns + self.budget_ns)
            self.resume_ns = now_ns + self.rests * (now_ns - began_ns + self.charged_ns)
            self.charged_ns = 0
        self.running = bool(self.waiting)
        if self.running:
            asyncio.get_running_loop().call_soon(self.turn)

    def work(self, until_ns: int) -> int:
        """Steps until the time is up or none is left; when that was."""
        now_ns = 0
        while self.waiting and now_ns + self.charged_ns < until_ns:
            step = self.waiting.popleft()
            try:
                done = step()
            except Exception as error:
                done = True
                asyncio.get_running_loop().call_exception_handler({"message": "an errand failed", "exception": error})
            if not done:
                self.waiting.append(step)
            now_ns = monotonic_ns()
        return now_ns

    def result_of(self, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        """What `work` returns, or raises, once its turn has come; a generator is a step for each of its yields."""
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        steps: list[Generator[None, None, Any]] = []

        def step() -> bool:
            if result.done():
                return True
            try:
                if not steps:
                    value = work()
                    if not isinstance(value, Generator):
                        result.set_result(value)
                        return True
                    steps.append(value)
                next(steps[0])
            except StopIteration as end:
                result.set_result(end.value)
            except Exception as error:
                result.set_exception(error)
            return result.done()

        self.add(step)
        return result
