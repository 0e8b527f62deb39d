"""Errands leave the loop to others: how long they take of a turn, of the time, and what happens when one fails."""

import asyncio
import time

import pytest
import uvloop

from gateway.errands import Errands


def test_each_gets_its_turn_until_it_is_done():
    done = []

    async def main():
        errands = Errands(budget_ns=0)

        def step_of(name, left):
            def step():
                nonlocal left
                done.append(name)
                left -= 1
                return left == 0

            return step

        for name, steps in (("a", 3), ("b", 1), ("c", 2)):
            errands.add(step_of(name, steps))
        while errands.running:
            await asyncio.sleep(0)

    uvloop.run(main())
    assert done == ["a", "b", "c", "a", "c", "a"]


def test_they_take_a_quarter_of_the_time_in_pieces():
    async def main():
        errands = Errands(budget_ns=1_000_000, rests=3)
        worked, turns, longest = 0.0, 0, 0.0

        def step():
            nonlocal worked
            began = time.perf_counter()
            while time.perf_counter() - began < 0.0004:
                pass
            worked += time.perf_counter() - began
            return worked > 0.05

        errands.add(step)
        began = before = time.perf_counter()
        while errands.running:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now
            turns += 1
        return worked, time.perf_counter() - began, turns

    worked, whole, turns = uvloop.run(main())
    assert worked / whole < 0.35
    assert turns > 30


def test_what_a_step_costs_outside_of_itself_counts():
    async def main():
        errands = Errands(budget_ns=1_000_000, rests=3)
        steps = 0

        def step():
            nonlocal steps
            steps += 1
            errands.charge(1_000_000)
            return steps == 10

        errands.add(step)
        began = time.perf_counter()
        while errands.running:
            await asyncio.sleep(0)
        return time.perf_counter() - began

    assert uvloop.run(main()) >= 9 * 0.003


def test_one_that_fails_ends_alone_and_is_told():
    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        errands, done = Errands(), []
        errands.add(lambda: 1 // 0)
        errands.add(lambda: done.append(1) or True)
        while errands.running:
            await asyncio.sleep(0)
        assert [type(error) for error in told] == [ZeroDivisionError]
        assert done == [1]

    uvloop.run(main())


def test_results_of_functions_and_generators():
    async def main():
        errands, turns = Errands(budget_ns=0), []

        def listing():
            for number in range(3):
                turns.append(number)
                yield
            return "listed"

        def failing():
            yield
            raise ValueError("no")

        longer = errands.result_of(listing)
        assert await errands.result_of(lambda: "at once") == "at once"
        with pytest.raises(ValueError, match="no"):
            await errands.result_of(failing)
        assert await longer == "listed"
        assert turns == [0, 1, 2]
        given_up = errands.result_of(lambda: turns.append("never"))
        given_up.cancel()
        while errands.running:
            await asyncio.sleep(0)
        assert "never" not in turns

    uvloop.run(main())
