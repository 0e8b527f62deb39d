"""The client's machine against shards that keep the contract and a network that does not: every event once, no false
answer."""

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.client.client_state import AccountState, ClientState, Event, Failed
from gateway.client.errors import Full, InDoubt, NotSent, Refused
from gateway.client.requests import MOVED, Request, new_order
from gateway.client.session_state import FREE_HOPS, MOST_PAUSE_NS, Open, Phase, SessionState, pause_ns
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


def live(seed: int, moments: int) -> None:
    """So many moments, and then everything heals."""
    world, draw = World(seed), Random(seed)
    for _ in range(moments):
        deal(world, draw)
    world.settle()


def live_many(seeds: int, moments: int) -> None:
    for seed in range(seeds):
        live(seed, moments)


def test_lives():
    live_many(600, 250)


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


# What the lives above must catch: each of these breaks the client in one way.


def deliver_all(self, session, account, event, now_ns):
    account.seq = max(account.seq, event.event_seq)
    self.put(Event(event))
    return True


def deliver_with_gaps(self, session, account, event, now_ns):
    if event.event_seq <= account.seq:
        return False
    account.seq = event.event_seq
    self.put(Event(event))
    return True


def give_up_surely(self, request):
    self.fail(request, NotSent("never sent"))


def log_on_from_the_start(self, session):
    return pb.Logon(token=self.token, accounts=[pb.AccountCursor(account=name) for name in sorted(session.accounts)])


MUTANTS = {
    "delivers whatever comes": (ClientState, "deliver", deliver_all),
    "does not see a gap": (ClientState, "deliver", deliver_with_gaps),
    "takes a refusal of a repetition for the whole truth": (Request, "must_repeat", lambda self, code: code in MOVED),
    "takes any report under the name": (Request, "is_about", lambda self, report: True),
    "doubts nothing when the stream is gone": (AccountState, "doubt", lambda self: None),
    "says never sent of what was": (ClientState, "give_up", give_up_surely),
    "does not follow an account": (ClientState, "on_away", lambda self, session, accounts, redirect, now_ns: None),
    "never tries elsewhere": (SessionState, "follow", lambda self, redirect, now_ns: self.retry(now_ns)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_client_does_not_live(name, monkeypatch):
    monkeypatch.setattr(*MUTANTS[name])
    with pytest.raises(AssertionError):
        live_many(600, 150)


# Single promises


@pytest.mark.parametrize("moment", range(0, 60))
def test_a_break_at_any_moment_changes_nothing(moment):
    """Twelve orders over two shards; the stream breaks at one moment, before or after every message of them."""
    world = World(moment)
    asked = [world.submit(f"A{number % 3}") for number in range(6)]
    for step in range(400):
        if step == moment:
            for stream in list(world.wires):
                world.cut(stream)
        if step == moment + 7:
            asked += [world.submit(f"A{number % 3}") for number in range(6)]
        stream = one_of(world, step)
        world.carry_up(stream)
        world.carry_down(stream)
        world.tick(MS)
    world.settle()
    assert all(world.outcomes[request].order_id for request in asked)


def test_a_hand_over_is_followed_at_once():
    """No pause between the old shard's last word and the logon at the new one, and none for the orders in between."""
    world = World(1)
    world.settle()
    world.hand_over("a:1", "c:1")
    before_ns = world.now_ns
    request = world.submit("A0")
    for _ in range(20):
        for stream in list(world.wires):
            world.carry_up(stream)
            world.carry_down(stream)
        world.tick(0)
    assert world.outcomes[request].order_id
    assert world.now_ns == before_ns
    assert world.client.accounts["A0"].session.home == "c:1"


def test_a_dead_shard_is_looked_for_where_it_may_be_by_now():
    """The standby's address is told by nobody but a shard that lives: the client asks there, with growing pauses at
    home."""
    world = World(1)
    world.settle()
    world.crash("a:1")
    for book in world.books.values():
        book.home = "c:1" if book.home == "a:1" else book.home
    for _ in range(100):
        for stream in list(world.wires):
            world.carry_up(stream)
            world.carry_down(stream)
        world.tick(MS)
    assert world.client.is_ready
    assert world.client.accounts["A0"].session.home == "c:1"


def test_a_silent_shard_is_given_up():
    world = World(1)
    world.settle()
    session = world.client.accounts["A0"].session
    stream = session.stream
    world.tick(600 * MS)
    assert world.wires[stream].up[-1].WhichOneof("message") == "heartbeat"
    assert session.is_live
    world.tick(1500 * MS)
    assert not session.is_live
    assert world.wires[stream].is_cut


def test_redirects_in_a_circle_are_followed_with_pauses():
    client = ClientState(["a:1"], "t", {"A0": 0}, Random(1).random)
    client.on_time(0)
    opened = []
    for _ in range(FREE_HOPS + 3):
        for output in client.take():
            if isinstance(output, Open):
                opened.append(output)
                client.on_open(output.stream, 0)
                there = "b:1" if output.address == "a:1" else "a:1"
                reject = pb.SessionReject(reject_code="R1610", redirect=there, accounts=["A0"], fatal=True)
                client.on_message(output.stream, pb.ServerMessage(session_reject=reject), 0)
        client.on_time(0)
    assert len(opened) == FREE_HOPS + 2
    assert client.next_ns() > 0


def test_pauses_grow_to_a_second():
    assert [pause_ns(failures, lambda: 1.0) // MS for failures in range(1, 12)] == [
        0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000,
    ]
    assert pause_ns(3, lambda: 0.0) == 5 * MS
    assert pause_ns(10**6, lambda: 1.0) == MOST_PAUSE_NS


@pytest.mark.parametrize("code", ["R1001", "R1605"])
def test_a_client_that_no_shard_will_have_ends(code):
    client = ClientState(["a:1"], "t", {"A0": 0}, Random(1).random)
    client.on_time(0)
    (opened,) = client.take()
    client.on_open(opened.stream, 0)
    request = new_order(pb.NewOrder(account="A0", cl_ord_id="o"), 10**9)
    client.ask(request, 0)
    reject = pb.SessionReject(reject_code=code, text=f"{code} token: no", fatal=True)
    client.on_message(opened.stream, pb.ServerMessage(session_reject=reject), 0)
    failed = next(output for output in client.take() if isinstance(output, Failed))
    assert isinstance(failed.error, Refused)
    assert failed.error.code == code
    assert client.sessions[0].phase is Phase.OVER
    with pytest.raises(Refused):
        client.ask(new_order(pb.NewOrder(account="A0", cl_ord_id="p"), 10**9), 0)


def test_what_cannot_be_asked_is_refused_clearly():
    client = ClientState(["a:1"], "t", {"A0": 0}, Random(1).random, most_unanswered=2)
    client.ask(new_order(pb.NewOrder(account="A0", cl_ord_id="o"), 10**9), 0)
    with pytest.raises(Refused, match="expected one of this client's"):
        client.ask(new_order(pb.NewOrder(account="B", cl_ord_id="o"), 10**9), 0)
    with pytest.raises(Refused, match="does not wait"):
        client.ask(new_order(pb.NewOrder(account="A0", cl_ord_id="o"), 10**9), 0)
    client.ask(new_order(pb.NewOrder(account="A0", cl_ord_id="p"), 10**9), 0)
    with pytest.raises(Full):
        client.ask(new_order(pb.NewOrder(account="A0", cl_ord_id="q"), 10**9), 0)


def test_a_deadline_tells_not_sent_from_in_doubt():
    world = World(1)
    early = world.submit("A0", timeout_ms=50)
    world.tick(60 * MS)
    assert isinstance(world.outcomes[early], NotSent)
    world.settle()
    late = world.submit("A0", timeout_ms=50)
    world.tick(60 * MS)
    assert isinstance(world.outcomes[late], InDoubt)
    again = world.submit("A0", late.key[1])
    world.settle()
    assert world.outcomes[again].order_id
    assert len(world.books["A0"].orders) == 1
