"""An account's day from one engine to another: after random lives it has there what it had here, and both add up."""

import random

import pytest

from ext import moves, queries, replay
from ext.engine import Engine
from tests.driver import Driver, OpenJournal, open_state
from tests.pair import Pair
from tests.seeded_life import START_NS, Simulation, build_world

STEPS = 250
SEEDS = range(60)
LATER_NS = START_NS + 10**13


def life(seed, path):
    """A random life, and an engine of the same world in which nothing has happened."""
    simulation = Simulation(seed)
    pair = Pair(simulation.model, path / f"source-{seed}")
    for action in simulation.actions(STEPS):
        pair.step(action)
    return pair.driver, Driver(build_world(random.Random(seed)), path / f"target-{seed}", START_NS)


def movable(source):
    return [(name, index) for name, index in source.world.accounts.items()
            if not moves.obstacle(source.engine, index) and moves.is_quiet(source.engine, index)]


def folded(driver):
    """Hash of the state that a driver's journal leads to."""
    state, file = open_state(min(driver.model.order_capacity, 4_096)), OpenJournal(driver.path)
    Engine(state, file.journal)
    replay.fold(state, file.journal)
    return state.hash()


def without_order_id(messages):
    return [(m.account, m.event_seq, type(m), m.cl_ord_id, getattr(m, "exec_type", 0), m.ord_status) for m in messages]


def test_what_moves_is_whole(tmp_path):
    """Every account of 60 lives that can move: holds, events and names the same there, nothing here, all sums right."""
    moved = orders = 0
    for seed in SEEDS:
        source, target = life(seed, tmp_path)
        for name, index in movable(source):
            there = target.world.accounts[name]
            before = moves.holds(source.engine, index)
            parcel = moves.parcel(source.engine, index)
            told = [m for m in source.observed if m.account == name]
            moves.come(target.engine, there, parcel, "test", LATER_NS)
            assert moves.holds(target.engine, there) == before, (seed, name)
            assert without_order_id(target.resend({name: 0})) == without_order_id(told), (seed, name)
            for message in told:
                known = [queries.order_no_of(one.engine, at, message.cl_ord_id)
                         for one, at in ((source, index), (target, there))]
                assert bool(known[0]) == bool(known[1])
            moves.leave(source.engine, index, 1, "test", LATER_NS)
            left = moves.holds(source.engine, index)
            assert (left["cash_e4"], left["filled_e4"], left["open_e4"]) == (0, [0, 0], [0, 0])
            assert all(position[:3] == [0, 0, 0] for position in left["positions"].values())
            moved, orders = moved + 1, orders + len(parcel["frames"])
        for driver in (source, target):
            assert queries.check_invariants(driver.engine) == [], seed
            assert folded(driver) == driver.state.hash(), seed
            driver.close()
    assert moved > 20
    assert orders > 100


def test_what_cannot_move_says_why(tmp_path):
    seed = next(seed for seed in SEEDS if queries_of_two(seed, tmp_path))
    source, target = life(seed, tmp_path)
    (_, index), *_ = movable(source)
    parcel = moves.parcel(source.engine, index)
    with pytest.raises(ValueError, match="a frame of type"):
        moves.come(target.engine, index, parcel | {"frames": [b"\0" * 64]}, "test", LATER_NS)
    with pytest.raises(ValueError, match="expected ones of this shard"):
        moves.come(target.engine, index, parcel | {"ports": dict.fromkeys(parcel["ports"], "00" * 32)}, "t", LATER_NS)
    before = target.journal.end
    moves.come(target.engine, index, parcel, "test", LATER_NS)
    assert target.journal.end > before
    with pytest.raises(ValueError, match="has been here today"):
        moves.come(target.engine, index, parcel, "test", LATER_NS)
    moves.leave(source.engine, index, 3, "test", LATER_NS)
    assert moves.obstacle(source.engine, index) == "it has left for shard 3"
    assert moves.has_left(source.engine, index)
    source.close()
    target.close()


def queries_of_two(seed, path):
    """Whether the life leaves an account that can move and has had an order."""
    source, target = life(seed, path)
    found = movable(source)
    is_good = bool(found) and bool(moves.parcel(source.engine, found[0][1])["frames"])
    source.close()
    target.close()
    return is_good
