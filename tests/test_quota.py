"""Shares of limits that span shards: whatever is lost, late or dead, what all shards may use stays within the limit."""
from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway import quota
from tests import quota_cluster
from tests.quota_cluster import FakeCluster, FakeShard, Life, Message
from tests.redis_server import RedisServer

LIMIT = 1_000
LIVES = 60
STEPS = 300
FIRST_SEED = int(os.environ.get("TIDEGATE_SEED", "1"))
NAMES = (f"c{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis") / "data", appendonly=False) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RedisServer) -> Any:
    return server.client()


class Story:
    """A life of some shards in which every step may be the last before a crash, and every message late or lost."""

    def __init__(self, client: Any, rng: random.Random, shards: int) -> None:
        self.cluster = FakeCluster(client, next(NAMES), shards, LIMIT)
        self.rng = rng
        self.elder: list[Life] = []      # processes that were taken over and do not know it
        self.most = LIMIT                # what the shares may sum to: the limit, or what they were when it fell
        self.happened: Counter[str] = Counter()
        self.steps: list[tuple[Callable[[], None], float]] = [
            (self.quiet_round, 12), (self.use, 14), (self.release, 6), (self.lower, 4), (self.ask, 8), (self.look, 2),
            (self.arrive, 10), (self.come_back, 10), (self.lose, 0.5), (self.make_safe, 4), (self.wait, 6),
            (self.start, 8), (self.crash, 2), (self.take_over, 0.7), (self.elder_asks, 3), (self.change_limit, 0.5),
        ]  # fmt: skip

    def step(self) -> None:
        makers, weights = zip(*self.steps, strict=True)
        self.rng.choices(makers, weights)[0]()
        self.check()

    @property
    def shard(self) -> FakeShard:
        return self.rng.choice(self.cluster.shards)

    @property
    def alive(self) -> FakeShard | None:
        found = [shard for shard in self.cluster.shards if shard.life is not None]
        return self.rng.choice(found) if found else None

    def start(self) -> None:
        shard = self.shard
        if shard.life is None:
            self.cluster.start(shard)

    def use(self) -> None:
        accepted = self.cluster.use(self.shard, self.rng.randint(1, self.rng.choice((20, 150, 600))))
        self.happened["accepted" if accepted else "refused"] += 1

    def release(self) -> None:
        self.cluster.release(self.shard, self.rng.randint(1, 300))

    def lower(self) -> None:
        if (shard := self.alive) is not None:
            before = shard.leased
            self.cluster.lower(shard)
            self.happened["lowered"] += shard.leased < before

    def ask(self) -> None:
        if (shard := self.alive) is not None and shard.life is not None:
            self.cluster.ask(shard.life, shard.safe)

    def quiet_round(self) -> None:
        """Nothing goes wrong for once."""
        if (shard := self.alive) is not None:
            before = shard.leased
            self.cluster.quiet_round(shard)
            self.happened["grew"] += shard.leased > before

    def make_safe(self) -> None:
        self.cluster.make_safe(self.shard)

    def look(self) -> None:
        if (shard := self.alive) is not None and shard.life is not None:
            self.cluster.look(shard.life)

    def any_message(self, answered: bool) -> Message | None:
        found = [message for message in self.cluster.network if (message.answer is not None) == answered]
        return self.rng.choice(found) if found else None

    def arrive(self) -> None:
        if (message := self.any_message(answered=False)) is not None:
            self.happened["late"] += message.sender.ended
            self.cluster.arrive(message)

    def come_back(self) -> None:
        if (message := self.any_message(answered=True)) is not None:
            self.cluster.come_back(message)

    def lose(self) -> None:
        if self.cluster.network:
            self.cluster.network.remove(self.rng.choice(self.cluster.network))

    def wait(self) -> None:
        self.cluster.now += self.rng.choice((0.05, 0.3, 1.1, 11.0))

    def crash(self) -> None:
        if (shard := self.alive) is not None:
            self.happened["crashed with events that were not safe"] += len(shard.journal) > shard.safe
            self.cluster.crash(shard, self.rng.randrange(3))

    def take_over(self) -> None:
        """The standby serves; the old process lives, and its requests go on."""
        shard = self.alive
        if shard is None or shard.life is None:
            return
        self.elder.append(shard.life)
        del shard.journal[shard.safe :]      # the standby has what was safe; nothing else has left the primary
        self.cluster.start(shard, takes_over=True)

    def elder_asks(self) -> None:
        if self.elder:
            self.cluster.ask(self.rng.choice(self.elder), 10**9)

    def change_limit(self) -> None:
        """A newer limits file, which a shard reads as it starts."""
        version = max(shard.version for shard in self.cluster.shards) + 1
        limit = self.rng.choice((100, 500, LIMIT, LIMIT, 2_000))
        for shard in self.cluster.shards:
            shard.version, shard.limit = version, limit
        shard = self.shard
        if shard.life is not None:
            self.cluster.crash(shard, 3)
        self.cluster.start(shard)

    def check(self) -> None:
        """Nobody ever used more than was in force; Redis has at least what is in force, or may be after a crash; the sum
        of what it has is within the limit."""
        limit, recorded = self.cluster.limit_recorded(), self.cluster.recorded()
        self.most = max(limit, min(self.most, sum(recorded)))
        for shard, share in zip(self.cluster.shards, recorded, strict=True):
            assert shard.used <= shard.most_used, f"used {shard.used}, never leased more than {shard.most_used}"
            assert shard.worst <= share, f"in force or recovered {shard.journal[shard.safe - 1:]}, in Redis {share}"
        assert sum(recorded) <= self.most, f"shares {recorded}, limit {limit}"

    def end(self) -> None:
        """Once nothing goes wrong any more, shares fit the limit as far as use does, and one can have all the rest."""
        cluster = self.cluster
        for shard in cluster.shards:
            cluster.start(shard, takes_over=True)
        cluster.settle_down()
        self.check()
        recorded, used = cluster.recorded(), sum(shard.used for shard in cluster.shards)
        assert recorded == [shard.leased for shard in cluster.shards]
        assert sum(recorded) <= max(cluster.limit_recorded(), used), f"shares {recorded}, used {used}"
        greedy, free = cluster.shards[0], cluster.limit_recorded() - used
        for _ in range(10):
            if free <= 0 or cluster.use(greedy, free):
                return
            cluster.settle_down(6)
        raise AssertionError(f"of {free} unused nobody can use all: {cluster.recorded()}")


class Forgetful(Story):
    """With a Redis that comes back as it was a while ago, or empty. No owner is deposed, and no limit changes."""

    def __init__(self, client: Any, rng: random.Random, shards: int) -> None:
        super().__init__(client, rng, shards)
        dropped = (self.take_over, self.elder_asks, self.change_limit)
        self.steps = [(step, weight) for step, weight in self.steps if step not in dropped]
        self.steps += [(self.remember, 3), (self.forget, 1)]
        self.kept: dict[str, bytes] = {}
        self.strangers: set[int] = set()     # held nothing when Redis forgot everything

    def remember(self) -> None:
        self.kept = self.cluster.copied()

    def forget(self) -> None:
        back_to = self.rng.choice((self.kept, self.kept, {}))
        if not back_to:
            self.strangers |= {at for at, shard in enumerate(self.cluster.shards) if shard.worst == 0}
        self.happened["forgot all" if not back_to else "forgot some"] += 1
        self.cluster.forget(back_to)

    def check(self) -> None:
        """What is in force is within the limit all the same: no share grows until every shard has said what it holds.
        Only where Redis forgot all, a shard that holds nothing may take an equal part of the limit."""
        shards = self.cluster.shards
        for shard in shards:
            assert shard.used <= shard.most_used, f"used {shard.used}, never leased more than {shard.most_used}"
        most = LIMIT + LIMIT // len(shards) * len(self.strangers)
        assert sum(shard.worst for shard in shards) <= most, f"{[shard.worst for shard in shards]}, at most {most}"


def tell(client: Any, seed: int, kind: type[Story] = Story) -> Story:
    rng = random.Random(seed)
    story = kind(client, rng, rng.choice((1, 2, 3, 3)))
    try:
        for _ in range(STEPS):
            story.step()
        story.end()
    except AssertionError as error:
        raise AssertionError(f"seed {seed} (TIDEGATE_SEED={seed} runs it first): {error}") from error
    return story


def tell_many(client: Any, lives: int, kind: type[Story] = Story) -> Counter[str]:
    happened: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + lives):
        happened += tell(client, seed, kind).happened
    return happened


def test_shares_never_pass_the_limit(client: Any) -> None:
    happened = tell_many(client, LIVES)
    expected = {"accepted", "refused", "grew", "lowered", "late", "crashed with events that were not safe"}
    assert expected <= set(happened), happened


def test_they_do_not_when_redis_forgets(client: Any) -> None:
    happened = tell_many(client, LIVES, Forgetful)
    assert {"accepted", "grew", "lowered", "forgot all", "forgot some"} <= set(happened), happened


MISTAKES = {
    "others' shares are not summed": ("limit - others", "limit", Story),
    "a deposed owner is heard": ("if epoch < number(shard .. ':epoch') then return {'FENCED'} end", "", Story),
    "a share may fall below what is in force": ("math.max(in_force, math.min(wanted, most))", "most", Story),
    "a Redis that forgot is believed": ("doubt = doubt or said['lost'] == run_now", "doubt = false", Forgetful),
    "shares grow before all are known": ("if not whole then", "if false then", Forgetful),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_caught(client: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    right, wrong, kind = MISTAKES[name]
    assert right in quota_cluster.SETTLE
    monkeypatch.setattr(quota_cluster, "SETTLE", quota_cluster.SETTLE.replace(right, wrong))
    with pytest.raises(AssertionError, match="seed"):
        tell_many(client, 4 * LIVES, kind)


def test_a_share_lowered_before_the_journal_is_safe_is_caught(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = quota.Plan.lowered
    monkeypatch.setattr(quota.Plan, "lowered", lambda plan, scope, in_force, _: honest(plan, scope, in_force, 0))
    with pytest.raises(AssertionError, match="seed"):
        tell_many(client, 4 * LIVES)
