"""Shards, their journals and the network between them and a real Redis, one step at a time: for tests of shares.

A shard here is a plan, a journal that may lose its unsafe end in a crash, and a counter in the place of an engine.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.quota import NOTHING, Amounts, Answer, Ask, Plan
from gateway.quota_store import LOOK, SETTLE, QuotaSettings, answer_of, look_call, look_of, settle_call

DAY = 20261123
GROSS = 0  # the one kind these clusters divide
KINDS = len(NOTHING)


def amounts(gross: int) -> Amounts:
    return (gross, *NOTHING[1:])


@dataclass(eq=False)
class Message:
    """A request on its way, or its answer on the way back; it may come at any time, or never."""
    sender: Life
    ask: Ask
    epoch: int
    answer: Answer | None = None


@dataclass(eq=False)
class Life:
    """One process of a shard, from its start to its end."""
    shard: FakeShard
    plan: Plan
    epoch: int
    ended: bool = False


@dataclass(eq=False)
class FakeShard:
    """journal: the share in force after each event; safe: how many of these events outlive a crash at least."""
    settings: QuotaSettings
    limit: int
    version: int = 1
    journal: list[int] = field(default_factory=lambda: [0])
    safe: int = 1
    used: int = 0
    most_used: int = 0                # the largest share ever in force
    epoch: int = 0
    life: Life | None = None

    @property
    def leased(self) -> int:
        """What orders are held to."""
        return self.journal[-1] if self.life else 0

    @property
    def worst(self) -> int:
        """The most that may be in force now, or after a crash at this moment."""
        return max(self.journal[self.safe - 1 :])


class FakeCluster:
    """shards: numbered from 0. Every method is one step that could be the last before a crash."""

    def __init__(self, client: Any, name: str, shards: int, limit: int) -> None:
        self.client = client
        self.now = 0.0
        places = [QuotaSettings("", name, shards, at, DAY) for at in range(shards)]
        self.shards = [FakeShard(place, limit) for place in places]
        self.network: list[Message] = []
        self.settle, self.look_script = client.register_script(SETTLE), client.register_script(LOOK)

    def start(self, shard: FakeShard, takes_over: bool = False) -> None:
        """A process for a shard that has none, or a standby's for one that has. It knows what its journal says."""
        shard.epoch += shard.epoch == 0 or takes_over
        plan = Plan(shard.settings.shards, shard.version)
        plan.add(0, "firm", amounts(shard.limit), amounts(shard.journal[-1]), amounts(shard.used))
        shard.life = Life(shard, plan, shard.epoch)

    def crash(self, shard: FakeShard, keep: int) -> None:
        """It ends; of the journal's unsafe end `keep` events stay."""
        assert shard.life is not None
        shard.life.ended = True
        shard.life = None
        del shard.journal[min(shard.safe + keep, len(shard.journal)) :]
        shard.safe = len(shard.journal)

    def put_in_force(self, shard: FakeShard, wanted: Amounts) -> Amounts:
        """As ext.quota.Shares.put_in_force."""
        share = wanted[GROSS]
        if share < shard.leased:
            share = max(share, min(shard.used, shard.leased))
        if share != shard.leased:
            shard.journal.append(share)
            shard.most_used = max(shard.most_used, share)
        return amounts(share)

    def make_safe(self, shard: FakeShard) -> None:
        shard.safe = len(shard.journal)

    def use(self, shard: FakeShard, ntl: int) -> bool:
        """An order: accepted, or refused for the share or for the limit itself."""
        if shard.life is None:
            return False
        if shard.used + ntl > min(shard.leased, shard.limit):
            shard.life.plan.short(0, GROSS, shard.used + ntl, self.now)
            return False
        shard.used += ntl
        shard.life.plan.observe(0, amounts(shard.used), self.now)
        return True

    def release(self, shard: FakeShard, ntl: int) -> None:
        shard.used -= min(ntl, shard.used)
        if shard.life is not None:
            shard.life.plan.observe(0, amounts(shard.used), self.now)

    def lower(self, shard: FakeShard) -> None:
        if shard.life is None:
            return
        for scope, wanted in shard.life.plan.lowers(self.now):
            in_force = self.put_in_force(shard, wanted)
            shard.life.plan.lowered(scope, in_force, len(shard.journal))

    def ask(self, life: Life, safe: int) -> None:
        self.network += [Message(life, ask, life.epoch) for ask in life.plan.asks(self.now, safe)]

    def arrive(self, message: Message) -> None:
        """The request reaches Redis, however late, whoever sent it."""
        count, arguments = settle_call(message.sender.shard.settings, message.epoch, message.ask)
        message.answer = answer_of(self.settle(arguments[:count], arguments[count:]))
        if message.sender.ended:
            self.network.remove(message)

    def come_back(self, message: Message) -> None:
        """The answer reaches its process."""
        self.network.remove(message)
        life, shard = message.sender, message.sender.shard
        assert message.answer is not None
        if life.ended:
            return
        granted = life.plan.answered(message.ask, message.answer, self.now)
        if granted is None:
            return
        if life is shard.life:
            life.plan.raised(0, self.put_in_force(shard, granted))
        else:
            life.plan.raised(0, granted)      # a process that was taken over: nothing it writes leaves it

    def look(self, life: Life) -> None:
        if life.ended:
            return
        count, arguments = look_call(life.shard.settings, life.plan.registered())
        life.plan.heard(*look_of(self.look_script(arguments[:count], arguments[count:])))

    def quiet_round(self, shard: FakeShard) -> None:
        """One round of a shard in which nothing is late or lost."""
        assert shard.life is not None
        self.look(shard.life)
        self.lower(shard)
        self.make_safe(shard)
        self.ask(shard.life, shard.safe)
        for message in [message for message in self.network if message.sender is shard.life]:
            if message.answer is None:
                self.arrive(message)
            self.come_back(message)

    def settle_down(self, rounds: int = 40, step_s: float = 0.6) -> None:
        """No more faults, and time goes on."""
        self.network.clear()
        for _ in range(rounds):
            for shard in self.shards:
                if shard.life is None:
                    self.start(shard)
                self.quiet_round(shard)
            self.now += step_s

    def forget(self, back_to: dict[str, bytes]) -> None:
        """Redis comes back as it was earlier, or empty: another run. back_to: of copied()."""
        for key in self.keys():
            self.client.delete(key)
        for key, value in back_to.items():
            self.client.restore(key, 0, value)
        self.client.set(self.shards[0].settings.key("data"), f"run {self.now} {len(self.network)}")

    def keys(self) -> list[str]:
        """The hash of the firm first; `:data` is not among them."""
        return [self.shards[0].settings.key(name) for name in ("firm", "short", "present", "dead")]

    def copied(self) -> dict[str, bytes]:
        found = {key: self.client.dump(key) for key in self.keys()}
        return {key: value for key, value in found.items() if value is not None}

    def recorded(self, kind: str = "gross") -> list[int]:
        """What Redis has for each shard."""
        row = self.client.hgetall(self.shards[0].settings.key("firm"))
        return [int(row.get(f"{shard.settings.number}:{kind}".encode(), b"0")) for shard in self.shards]

    def limit_recorded(self) -> int:
        return int(self.client.hget(self.shards[0].settings.key("firm"), "limit:gross") or 0)
