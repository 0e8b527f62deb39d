"""When a shard asks for more of a limit that spans shards, and when it gives back: the plan alone, nothing done.

A share is what this shard has leased of one limit of the firm or of a group. Three places know of it: the engine, which
holds orders to it; the journal; and Redis, which sums the shares of all shards. The order of steps keeps
`Redis >= journal >= engine` at every moment: growing, Redis first, then the journal; shrinking, the journal first and
safe there, then Redis. The plan reads no clock and opens nothing. An answer that never comes ends the scope's session,
so that a request on its way can do nothing any more; a new session begins by saying what is in force.
Amounts are in 1e-4 yuan, in tuples by ext.quota.KINDS.
"""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Amounts = tuple[int, ...]

NOTHING: Amounts = (0,) * 6
MOST_E4 = 2**53 - 1  # Redis sums in doubles: a larger limit is divided as if it were this
CHUNKS_OF_LIMIT = 20  # a share grows by 5 % of its limit, or by what the last seconds used where that is more
RECENT_S = 2.0
IDLE_S = 10.0  # a share that was not needed for so long goes back
ANSWER_S = 1.0
RETRY_S = 0.1  # after a request that was not met in full; doubles up to:
RETRY_MOST_S = 2.0
SHORT_S = 5.0  # how long a refused order's need is remembered
YIELD_S = 1.0  # between two returns because others are short


@dataclass(frozen=True)
class Ask:
    """One request about one scope. session 0: it registers, saying what is in force; else it asks to hold `wanted`."""

    scope: int
    name: str
    session: int
    run: str  # that the session is of: one start of Redis with the data it has
    version: int
    holds: bool  # this shard has a share of anything at all
    limits: Amounts
    leased: Amounts  # in force here, safe in the journal; Redis never records less
    wanted: Amounts


@dataclass(frozen=True)
class Answer:
    """What Redis says."""

    status: str  # OK; REGISTER, the session is over; FENCED, another process owns the shard; DEAD, two persons said so
    session: int = 0
    run: str = ""
    whole: bool = False  # every shard has said what it holds in this run
    version: int = 0  # of the limits there
    amounts: Amounts = NOTHING  # recorded for this shard
    limits: Amounts = NOTHING
    sums: Amounts = NOTHING  # of all shards


@dataclass
class Share:
    """One scope's shares, and what is known of their use."""

    scope: int
    name: str
    own_limits: Amounts
    leased: Amounts
    used: Amounts = NOTHING
    limits: Amounts = NOTHING  # Redis's, once known; the lower of both is divided
    session: int = 0
    run: str = ""
    asked: Ask | None = None
    asked_until: float = 0.0
    safe_from: int = 0  # journal offset that must be safe before Redis may hear of `leased`
    told: Amounts | None = None  # what Redis records; None: unknown
    over: tuple[bool, ...] = (False,) * 6  # the sum of all shards passes the limit
    retry_at: float = 0.0
    pause_s: float = RETRY_S
    pressed: bool = False  # other shards are short of this scope
    yielded_at: float = -YIELD_S
    yielded: list[bool] = field(default_factory=lambda: [False] * 6)  # given up for others: none is taken ahead of use
    needs: list[tuple[int, float]] = field(default_factory=lambda: [(0, 0.0)] * 6)  # of refused orders, until when
    roomy_since: list[float | None] = field(default_factory=lambda: [None] * 6)
    history: deque[tuple[float, Amounts]] = field(default_factory=deque)

    def limit(self, kind: int) -> int:
        """What there is to divide, 0: nothing."""
        own = min(self.own_limits[kind], MOST_E4)
        return min(own, self.limits[kind]) if self.limits[kind] else own

    def recent(self, kind: int, now: float) -> int:
        """By how much its use has grown lately."""
        while self.history and self.history[0][0] < now - RECENT_S:
            self.history.popleft()
        return max(0, self.used[kind] - min((used[kind] for _, used in self.history), default=self.used[kind]))

    def need(self, kind: int, now: float) -> int:
        value, until = self.needs[kind]
        return max(self.used[kind], value if now < until else 0)


@dataclass(frozen=True)
class QuotaFigures:
    """For metrics; amounts are the firm's, by kind of limit."""

    up: bool  # Redis answers
    whole: bool  # every shard has said what it holds in this run
    stopped: bool  # fenced or dead
    unmet: int
    limits: Mapping[str, int]
    leased: Mapping[str, int]
    used: Mapping[str, int]


class Plan:
    """Every scope's shares. In each round: observe and short, lowers, asks; answered or unanswered for each ask."""

    def __init__(self, shards: int = 1, version: int = 1) -> None:
        self.shards = shards
        self.version = version
        self.shares: dict[int, Share] = {}
        self.fenced = False
        self.dead = False
        self.whole = True
        self.unmet = 0  # requests that got less than they asked for

    def add(self, scope: int, name: str, limits: Amounts, leased: Amounts, used: Amounts) -> None:
        """A scope of this shard, with what its journal says is in force."""
        self.shares[scope] = Share(scope, name, limits, leased, used)

    # What happened

    def observe(self, scope: int, used: Amounts, now: float) -> None:
        """What a scope uses now."""
        share = self.shares.get(scope)
        if share is None:
            return
        share.history.append((now, share.used))
        grew = [now_e4 > was_e4 for now_e4, was_e4 in zip(used, share.used, strict=True)]
        share.yielded = [given and not more for given, more in zip(share.yielded, grew, strict=True)]
        share.used = used

    def short(self, scope: int, kind: int, value: int, now: float) -> None:
        """An order was refused because the share of that kind was below value."""
        share = self.shares.get(scope)
        if share is not None:
            share.needs[kind] = max(share.need(kind, now), value), now + SHORT_S
            share.yielded[kind] = False

    def registered(self) -> str:
        """The run in which every scope here was registered; empty: not all were."""
        runs = {share.run if share.session else "" for share in self.shares.values()}
        return runs.pop() if len(runs) == 1 else ""

    def waiting(self) -> bool:
        """Whether some scope would hold more, and was not told yet that it cannot."""
        return any(s.told is None or (s.retry_at == 0.0 and s.told == NOTHING) for s in self.shares.values())

    def heard(self, run: str, pressed: Collection[str]) -> None:
        """Redis was looked at: which run this is, and which scopes some shard is short of."""
        for share in self.shares.values():
            share.pressed = share.name in pressed
            if share.run and share.run != run and share.asked is None:
                share.session = 0

    # What to do

    def lowers(self, now: float) -> list[tuple[int, Amounts]]:
        """Shares to put in force at once, each kind at most what it is now; say `lowered` when it is done."""
        found = []
        for share in self.shares.values():
            if share.asked is not None or self.fenced:
                continue
            amounts = NOTHING if self.dead else tuple(self.kept(share, kind, now) for kind in range(len(NOTHING)))
            if amounts != share.leased:
                share.yielded_at = now if share.pressed else share.yielded_at
                found.append((share.scope, amounts))
        return found

    def lowered(self, scope: int, in_force: Amounts, journal_end: int) -> None:
        """in_force: what the journal has now; Redis hears of it when the journal is safe up to journal_end."""
        share = self.shares[scope]
        if in_force != share.leased:
            share.leased, share.safe_from = in_force, journal_end
            share.retry_at = 0.0

    def kept(self, share: Share, kind: int, now: float) -> int:
        """What to keep of a share: all of it, or less when it is not needed, or others need it."""
        leased, need, chunk = share.leased[kind], share.need(kind, now), self.chunk(share, kind, now)
        if share.over[kind]:
            return min(leased, need)
        if share.pressed:
            quiet = share.recent(kind, now) == 0 and need == share.used[kind]
            keep = need if quiet else need + max(chunk // 2, share.recent(kind, now))
            if leased > keep and now - share.yielded_at >= YIELD_S and (quiet or leased - keep >= chunk // 4):
                share.yielded[kind] = quiet
                return keep
            return leased
        roomy = leased > need + 3 * chunk
        if not roomy:
            share.roomy_since[kind] = None
        elif share.roomy_since[kind] is None:
            share.roomy_since[kind] = now
        since = share.roomy_since[kind]
        return need + chunk + chunk // 2 if since is not None and now - since >= IDLE_S else leased

    def chunk(self, share: Share, kind: int, now: float) -> int:
        """By how much a share grows at a time."""
        limit = share.limit(kind)
        step = min(limit // CHUNKS_OF_LIMIT, limit // (2 * self.shards))
        return max(1, step, share.recent(kind, now)) if limit else 0

    def wanted(self, share: Share, kind: int, now: float) -> int:
        """What to hold: at least what is in force."""
        limit, leased, need = share.limit(kind), share.leased[kind], share.need(kind, now)
        chunk = self.chunk(share, kind, now)
        ahead = 0 if share.yielded[kind] else chunk
        if share.over[kind] or leased - need >= (ahead + 1) // 2:
            return leased
        return max(leased, min(limit, need + ahead + ahead // 2))

    def asks(self, now: float, safe_end: int) -> list[Ask]:
        """Requests to send now, one at most for a scope; each is answered or unanswered later."""
        found: list[Ask] = []
        holds = any(any(share.leased) for share in self.shares.values())
        for share in self.shares.values():
            if share.asked is not None and now >= share.asked_until:
                self.unanswered(share.asked)
            if share.asked is not None or self.fenced or self.dead or safe_end < share.safe_from:
                continue
            wanted = tuple(self.wanted(share, kind, now) for kind in range(len(NOTHING)))
            if share.session and share.leased == share.told and (
                now < share.retry_at or (wanted == share.leased and not any(share.over))
            ):
                continue
            limits = tuple(min(limit, MOST_E4) for limit in share.own_limits)
            who = (share.scope, share.name, share.session, share.run, self.version, holds)
            share.asked = Ask(*who, limits, share.leased, wanted)
            share.asked_until = now + ANSWER_S
            found.append(share.asked)
        return found

    # What came of it

    def unanswered(self, ask: Ask) -> None:
        """No answer: whether Redis has done it is unknown, and it may do it later. With the session it is void."""
        share = self.shares[ask.scope]
        if share.asked is ask:
            share.asked, share.session, share.told = None, 0, None

    def answered(self, ask: Ask, answer: Answer, now: float) -> Amounts | None:
        """Shares to put in force because of it, none below what they are; say `raised` when it is done."""
        share = self.shares[ask.scope]
        if share.asked is not ask:
            return None
        share.asked = None
        self.fenced = self.fenced or answer.status == "FENCED"
        self.dead = self.dead or answer.status == "DEAD"
        if answer.status != "OK":
            share.session, share.told = 0, None
            return None
        share.session, share.run, share.limits = answer.session, answer.run, answer.limits
        share.told, self.whole = answer.amounts, answer.whole
        share.over = tuple(limit > 0 and total > limit for total, limit in zip(answer.sums, answer.limits, strict=True))
        if ask.session == 0:
            share.retry_at, share.pause_s = 0.0, RETRY_S
            return None
        short = any(amount < wanted for amount, wanted in zip(answer.amounts, ask.wanted, strict=True))
        self.unmet += short
        share.retry_at = now + share.pause_s if short or any(share.over) else 0.0
        share.pause_s = min(2 * share.pause_s, RETRY_MOST_S) if share.retry_at else RETRY_S
        return answer.amounts if answer.amounts != share.leased else None

    def raised(self, scope: int, in_force: Amounts) -> None:
        """in_force: what the journal has now."""
        self.shares[scope].leased = in_force
