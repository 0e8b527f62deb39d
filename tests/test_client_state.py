"""The client's machine against shards that keep the contract and a network that does not: every event once, no false answer."""

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.client.client_state import ClientState, Event, Failed
from gateway.client.errors import Full, InDoubt, NotSent, Refused
from gateway.client.session_state import FREE_HOPS, MOST_PAUSE_NS, Open, Phase, pause_ns
from gateway.pb import order_entry_pb2 as pb
from tests.client_world import ADDRESSES, MS, PASSING, World

ACCOUNTS = st.sampled_from(["A0", "A1", "A2"])
PLACES = st.sampled_from(ADDRESSES)
PICK = st.integers(0, 30)


def one_of(world: World, pick: int) -> int:
    """Some stream."""
    streams = sorted(world.wires)
    return streams[pick % len(streams)] if streams else 0


def deal(world: World, draw: Random) -> None:
    """One thing happens, of all that can."""
    account = draw.choice(sorted(world.books))
    stream = one_of(world, draw.randrange(30))
    match draw.randrange(100):
        case roll if roll < 30:
            world.carry_up(stream)
        case roll if roll < 60:
            world.carry_down(stream)
        case roll if roll < 70:
            world.submit(account, timeout_ms=draw.choice([5, 100, 3000]))
        case roll if roll < 73 and world.asked:
            again = draw.choice(world.asked)
            if again.key[0] == "new_order":
                world.submit(again.account, again.key[1], qty=draw.choice([100, 100, 200]))
        case roll if roll < 76 and world.books[account].orders:
            world.cancel(account, draw.choice(sorted(world.books[account].orders)))
        case roll if roll < 82:
            world.advance(account, draw.randrange(9))
        case roll if roll < 86:
            world.tick(draw.choice([1, 5, 40, 700]) * MS)
        case roll if roll < 89:
            world.cut(stream)
        case 89:
            world.crash(draw.choice(ADDRESSES))
        case 90 | 91 | 92:
            world.restart(draw.choice(ADDRESSES))
        case 93:
            world.hand_over(world.books[account].home, draw.choice(ADDRESSES))
        case 94:
            world.move(account, draw.choice(ADDRESSES))
        case 95:
            world.send_again(account, 3)
        case 96:
            world.lose(stream)
        case 97 if world.asked:
            world.client.forget(draw.choice(world.asked))
        case _:
            world.refuse_next = draw.choice(PASSING)


@pytest.mark.parametrize("seed", range(300))
def test_lives(seed):
    """Three hundred lives of 250 moments each, and then everything heals."""
    world, draw = World(seed), Random(seed)
    for _ in range(250):
        deal(world, draw)
    world.settle()


class Lives(RuleBasedStateMachine):
    """The same, found and shrunk by hypothesis."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(1)

    @rule(pick=PICK)
    def carry_up(self, pick: int) -> None:
        self.world.carry_up(one_of(self.world, pick))

    @rule(pick=PICK, count=st.integers(1, 4))
    def carry_down(self, pick: int, count: int) -> None:
        for _ in range(count):
            self.world.carry_down(one_of(self.world, pick))

    @rule(account=ACCOUNTS, timeout_ms=st.sampled_from([2, 50, 3000]))
    def submit(self, account: str, timeout_ms: int) -> None:
        self.world.submit(account, timeout_ms=timeout_ms)

    @precondition(lambda self: self.world.asked)
    @rule(pick=PICK, qty=st.sampled_from([100, 200]))
    def submit_again(self, pick: int, qty: int) -> None:
        again = self.world.asked[pick % len(self.world.asked)]
        if again.key[0] == "new_order":
            self.world.submit(again.account, again.key[1], qty=qty)

    @rule(account=ACCOUNTS, pick=PICK)
    def cancel(self, account: str, pick: int) -> None:
        orders = sorted(self.world.books[account].orders)
        self.world.cancel(account, orders[pick % len(orders)] if orders else "none")

    @rule(account=ACCOUNTS, pick=PICK)
    def advance(self, account: str, pick: int) -> None:
        self.world.advance(account, pick)

    @rule(ms=st.sampled_from([1, 10, 600, 2500]))
    def tick(self, ms: int) -> None:
        self.world.tick(ms * MS)

    @rule(pick=PICK)
    def cut(self, pick: int) -> None:
        self.world.cut(one_of(self.world, pick))

    @rule(address=PLACES)
    def crash(self, address: str) -> None:
        self.world.crash(address)

    @rule(address=PLACES)
    def restart(self, address: str) -> None:
        self.world.restart(address)

    @rule(old=PLACES, new=PLACES)
    def hand_over(self, old: str, new: str) -> None:
        if old != new:
            self.world.hand_over(old, new)

    @rule(account=ACCOUNTS, address=PLACES)
    def move(self, account: str, address: str) -> None:
        self.world.move(account, address)

    @rule(account=ACCOUNTS)
    def send_again(self, account: str) -> None:
        self.world.send_again(account, 2)

    @rule(pick=PICK)
    def lose(self, pick: int) -> None:
        self.world.lose(one_of(self.world, pick))

    @rule(code=st.sampled_from(PASSING))
    def refuse(self, code: str) -> None:
        self.world.refuse_next = code

    @invariant()
    def nothing_broke(self) -> None:
        assert self.world.broken is None

    def teardown(self) -> None:
        self.world.settle()


Lives.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLives = Lives.TestCase
