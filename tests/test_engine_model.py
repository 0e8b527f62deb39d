"""The engine against the reference model, step by step over random lives; its journal replayed, and cut anywhere."""
from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ext import sweeps
from ext.engine import Engine
from tests import actions as act
from tests import probe
from tests.cut import cut_down
from tests.desk import TEN, Desk
from tests.driver import Driver, OpenJournal, open_state
from tests.model_optional import WAITS
from tests.model_response import CHECKS
from tests.model_state import (
    BUY,
    CANCELED,
    LIMIT,
    NEW,
    P_CLOSE_CALL,
    P_CONTINUOUS,
    P_LUNCH,
    P_OPEN_CALL,
    PASS,
    TRADE,
    XSHG,
    NewOrder,
)
from tests.pair import Pair
from tests.seeded_life import START_NS, Simulation, build_world

RUNS = 40
STEPS = 500
SNAPSHOT_EVERY = 50
FIRST_SEED = int(os.environ.get("TIDEGATE_SEED", "1"))


def live(seed: int, actions: Sequence[act.Action], path: Path) -> None:
    """The same actions in a fresh world of that seed; raises AssertionError where the two part."""
    path.unlink(missing_ok=True)
    pair = Pair(build_world(random.Random(seed)), path)
    for action in actions:
        pair.step(action)
    pair.compare()
    pair.driver.close()


def explain(seed: int, actions: Sequence[act.Action], path: Path) -> str:
    """The shortest part of a failing run that still fails."""

    def fails(shorter: Sequence[act.Action]) -> bool:
        try:
            live(seed, shorter, path)
        except AssertionError:
            return True
        return False

    steps = "\n  ".join(map(str, cut_down(actions, fails)))
    return f"seed {seed} (TIDEGATE_SEED={seed} runs it first), cut down to:\n  {steps}"


def run(seed: int, path: Path, codes: Counter[int]) -> Pair:
    """One random life of both."""
    simulation = Simulation(seed)
    pair = Pair(simulation.model, path)
    done: list[act.Action] = []
    try:
        for action in simulation.actions(STEPS):
            done.append(action)
            outcome = pair.step(action)
            codes[outcome.code] += isinstance(action, act.Submit | act.SubmitBasket)
            if len(done) % SNAPSHOT_EVERY == 0:
                pair.compare()
        pair.compare()
        pair.driver.check_sessions()
    except AssertionError as error:
        raise AssertionError(f"{explain(seed, done, path.with_suffix('.cut'))}\n{error}") from error
    return pair


def test_engine_and_model_agree_on_random_lives(tmp_path: Path) -> None:
    codes: Counter[int] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        path = tmp_path / str(seed)
        check_journal(run(seed, path, codes), path, seed)
        path.unlink()
    missing = ({code for code, _ in [*CHECKS, *WAITS]} | {1312, 1612}) - set(codes) - {1603}
    assert not missing, f"codes never reached: {missing}, reached: {dict(codes)}"


def check_journal(pair: Pair, path: Path, seed: int) -> None:
    """Replay gives the same state, every prefix what the model had there, and a cut file the state before the cut."""
    world, driver = pair.driver.world, pair.driver
    state, file = open_state(), OpenJournal(path)
    journal = file.journal
    engine = Engine(state, journal)
    journal.rewind()
    expected = dict(pair.trail)
    offset = probe.frame_offsets(driver.journal)[0]
    while offset:
        if offset in expected:
            assert world.snapshot(engine) == expected[offset], f"seed {seed}: replay up to offset {offset}"
        offset = probe.fold_one(state, journal, offset)
    assert state.hash() == driver.state.hash(), f"seed {seed}: replay gives another state"
    resend(driver, random.Random(seed))
    crash(pair, path, random.Random(seed))


def resend(driver: Driver, rng: random.Random) -> None:
    """A session that comes back receives the rest exactly once, in order, as it was told live."""
    newest = Counter(m.account for m in driver.observed)
    cursors = {name: rng.choice((0, newest[name], rng.randint(0, newest[name]))) for name in driver.world.accounts}
    assert driver.resend(cursors) == [m for m in driver.observed if m.event_seq > cursors[m.account]]


def crash(pair: Pair, path: Path, rng: random.Random) -> None:
    """Kill the process inside a frame's write: recovery ends at the frame before."""
    at, snapshot = rng.choice(pair.trail)
    torn = path.with_suffix(".torn")
    keep = at + rng.randrange(20)              # of 24 bytes that always hold something: size, checksum, sequence, time
    with path.open("rb") as whole:
        torn.write_bytes(whole.read(keep) + bytes(4_096))
    file = OpenJournal(torn)
    engine = Engine(open_state(), file.journal)
    sweeps.recover(engine)
    assert pair.driver.world.snapshot(engine) == snapshot, f"cut at {keep}, frame at {at}"
    assert engine.journal.end == at
    torn.unlink()


def test_a_full_order_store_rejects(tmp_path: Path) -> None:
    simulation = Simulation(3)
    simulation.model.order_capacity = 20
    pair = Pair(simulation.model, tmp_path / "journal")
    codes = [pair.step(action).code for action in simulation.actions(300)]
    pair.compare()
    pair.driver.close()
    assert 1603 in codes


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Pair]:
    """Both, in a world without tight limits: port p with accounts A, B (one group) and C."""
    desk = Desk(now_ns=START_NS)
    desk.model.ports["p"] = desk.port
    for account in desk.model.accounts.values():
        account.limits.collar = dict.fromkeys((P_OPEN_CALL, P_CONTINUOUS, P_CLOSE_CALL), (10_000, 0))
    for exchange in desk.model.venues:
        desk.model.set_phase(exchange, P_CONTINUOUS, START_NS)
    pair = Pair(desk.model, tmp_path / "journal")
    for (exchange, symbol), instrument in desk.model.instruments.items():
        pair.step(act.MarketQuote(START_NS, exchange, symbol, instrument.quote))
    yield pair
    pair.driver.close()


def buy(cl_ord_id: str, account: str = "A") -> act.Submit:
    return act.Submit(START_NS, "p", 1, NewOrder(cl_ord_id, account, "600000", XSHG, BUY, LIMIT, 100, TEN))


def test_a_kill_reaches_orders_whose_link_is_down(plain: Pair) -> None:
    plain.step(buy("one"))
    plain.step(act.Link(START_NS, XSHG, False))
    killed = plain.step(act.Kill(START_NS, "firm", "", True))
    assert (killed.affected, killed.queued, killed.sent) == (1, 1, ())
    back = plain.step(act.Link(START_NS, XSHG, True))
    assert [s.kind for s in back.sent] == ["cancel"]            # nothing new behind the latch: it may be there already
    plain.compare()


def killed_in_doubt(plain: Pair) -> None:
    """Order `one` may or may not have left when its account was killed; its link is back, its cancel is on the way."""
    plain.step(act.Link(START_NS, XSHG, False))
    plain.step(act.Restart(START_NS))
    plain.step(act.Kill(START_NS, "account", "A", True))
    plain.step(act.MarketPhase(START_NS, XSHG, P_CONTINUOUS))
    assert [s.kind for s in plain.step(act.Link(START_NS, XSHG, True)).sent] == ["cancel"]
    plain.compare()


def told(plain: Pair, kind: str, **fields: int) -> list[tuple[str, int, int]]:
    reports = plain.step(act.VenueAnswer(START_NS, kind, "A", "one", **fields)).reports
    plain.compare()
    return [(r.kind, r.exec_type, r.leaves_qty) for r in reports]


def test_a_killed_order_that_never_arrived_ends_when_the_exchange_says_so(plain: Pair) -> None:
    plain.step(buy("one"))
    killed_in_doubt(plain)
    assert told(plain, "cancel_unknown") == [("execution", CANCELED, 0)]
    assert plain.model.cash_held(plain.model.accounts["A"]) == 0


def test_a_killed_order_that_did_arrive_is_cancelled_as_any_other(plain: Pair) -> None:
    plain.step(buy("one"))
    killed_in_doubt(plain)
    assert told(plain, "trade", qty=40, px=TEN) == [("execution", TRADE, 60)]
    assert told(plain, "cancel_rejected") == [("cancel_reject", 0, 0)]
    assert told(plain, "trade", qty=60, px=TEN) == [("execution", TRADE, 0)]


def test_no_other_refusal_ends_a_killed_order(plain: Pair) -> None:
    """Nor does this one, of an order that was sent in this very session or that the exchange has confirmed."""
    plain.step(buy("one"))
    killed_in_doubt(plain)
    assert told(plain, "cancel_rejected") == [("cancel_reject", 0, 0)]
    plain.step(act.Link(START_NS, XSHG, False))
    assert [s.kind for s in plain.step(act.Link(START_NS, XSHG, True)).sent] == ["cancel"], "asked again"
    assert told(plain, "accepted") == [("execution", NEW, 100)]
    assert told(plain, "cancel_unknown") == [("cancel_reject", 0, 0)]


def test_an_order_that_is_not_killed_goes_out_again_before_its_cancel(plain: Pair) -> None:
    plain.step(buy("one"))
    plain.step(act.Link(START_NS, XSHG, False))
    plain.step(act.Disconnect(START_NS, "p"))
    assert [s.kind for s in plain.step(act.Link(START_NS, XSHG, True)).sent] == ["new", "cancel"]
    assert told(plain, "cancel_unknown") == [("cancel_reject", 0, 0)]


def test_it_restarts_again_and_again_with_nothing_in_between(plain: Pair) -> None:
    plain.step(buy("one"))
    for _ in range(3):
        plain.step(act.Restart(START_NS))
        plain.compare()
    plain.step(act.Link(START_NS, XSHG, True))


def test_a_queued_cancel_outlives_the_process(plain: Pair) -> None:
    plain.step(buy("one"))
    plain.step(act.VenueAnswer(START_NS, "accepted", "A", "one"))
    plain.step(act.MarketPhase(START_NS, XSHG, P_LUNCH))
    plain.step(act.Cancel(START_NS, "p", 1, "A", "one"))
    plain.step(act.Restart(START_NS))
    plain.step(act.MarketPhase(START_NS, XSHG, P_LUNCH))
    assert plain.step(act.Link(START_NS, XSHG, True)).sent == ()
    assert [s.kind for s in plain.step(act.MarketPhase(START_NS, XSHG, P_CONTINUOUS)).sent] == ["cancel"]


def test_a_second_cancel_is_told_that_the_first_is_under_way(plain: Pair) -> None:
    plain.step(buy("one"))
    plain.step(act.MarketPhase(START_NS, XSHG, P_LUNCH))
    codes = [plain.step(act.Cancel(START_NS, "p", 1, "A", "one")).code for _ in range(2)]
    plain.step(act.MarketPhase(START_NS, XSHG, P_CLOSE_CALL))
    codes.append(plain.step(act.Cancel(START_NS, "p", 1, "A", "one")).code)
    assert codes == [PASS, 1607, 1607]


class Shard(RuleBasedStateMachine):
    """Hypothesis chooses what happens, and shrinks what fails."""

    directory: Path

    @initialize(seed=st.integers(0, 2**16))
    def start(self, seed: int) -> None:
        self.simulation = Simulation(seed)
        path = self.directory / "journal"
        self.pair = Pair(self.simulation.model, path)
        for action in self.simulation.actions(0):
            if isinstance(action, act.MarketQuote):
                self.pair.step(action)

    def happen(self, rng: random.Random, maker: Callable[[], act.Action]) -> None:
        self.simulation.rng = rng
        self.pair.step(maker())
        self.simulation.advance()

    @rule(rng=st.randoms(use_true_random=False))
    def order(self, rng: random.Random) -> None:
        self.happen(rng, self.simulation.new_order)

    @rule(rng=st.randoms(use_true_random=False))
    def cancel(self, rng: random.Random) -> None:
        self.happen(rng, self.simulation.cancel)

    @rule(rng=st.randoms(use_true_random=False))
    def answer(self, rng: random.Random) -> None:
        self.happen(rng, self.simulation.venue_answer)

    @rule(rng=st.randoms(use_true_random=False))
    def market(self, rng: random.Random) -> None:
        self.happen(rng, rng.choice((self.simulation.quote, self.simulation.market_phase, self.simulation.repair)))

    @rule(rng=st.randoms(use_true_random=False))
    def switch(self, rng: random.Random) -> None:
        makers = (self.simulation.link, self.simulation.kill, self.simulation.disconnect, self.simulation.mass_cancel)
        self.happen(rng, rng.choice(makers))

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.driver.close()

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()


def test_hypothesis_finds_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shard, "directory", tmp_path, raising=False)
    from hypothesis.stateful import run_state_machine_as_test

    checks = settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Shard, settings=checks)
