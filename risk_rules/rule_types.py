"""A rule set after reading: units folded, names resolved, conditions typed. It holds, and computes nothing."""

import msgspec

from risk_rules.errors import Place
from risk_rules.trees import Condition

ACCOUNT_SEED, GROUP_SEED = 1, 2
FOREVER_NS = 2**63 - 1
ALL_PHASES = (1 << 9) - 1
ALL_VENUES = ALL_SIDES = 0b110
ALL_BOARDS = 0xFF
DAY_S = 86400


class Account(msgspec.Struct, frozen=True):
    """An account as scopes see it. group: "" for none; tags: bits of ext.codes.ACCOUNT_TAGS."""

    id: str
    group: str = ""
    tags: int = 0


class Source(msgspec.Struct, frozen=True):
    doc: str
    clause: str
    basis: str  # published, vendor, ours


class Scope(msgspec.Struct, frozen=True):
    """Whom and what a rule is for. Accounts: any of ids, groups, prefixes and tags, all when there is none of them."""

    ids: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    tags_any: int = 0
    tags_none: int = 0
    ids_none: frozenset[str] = frozenset()
    groups_none: frozenset[str] = frozenset()
    venues: int = ALL_VENUES  # bit 1 << Venue
    boards: int = ALL_BOARDS  # bit 1 << Board
    sides: int = ALL_SIDES  # bit 1 << Side
    phases: int = ALL_PHASES  # bit 1 << Phase
    st: int = 0  # 0 all, 1 risk-warning stocks only, 2 all others
    securities: frozenset[tuple[int, int]] = frozenset()  # (venue, symbol); all when there is none
    time_from_s: int = 0
    time_to_s: int = DAY_S

    @property
    def is_named(self) -> bool:
        return bool(self.ids or self.groups or self.prefixes)

    def takes(self, account: Account) -> bool:
        """Whether an account is in it."""
        if account.tags & self.tags_none or account.id in self.ids_none or account.group in self.groups_none:
            return False
        if not self.is_named and not self.tags_any:
            return True
        return (account.id in self.ids or account.group in self.groups or bool(account.tags & self.tags_any)
                or any(account.id.startswith(prefix) for prefix in self.prefixes))


class Mark(msgspec.Struct, frozen=True):
    name: str
    full_name: str  # unique in the rule set: rule id, version and name
    condition: Condition
    text: str
    events: tuple[str, ...]
    gap_ns: int
    key: str


class Stage(msgspec.Struct, frozen=True):
    """What a hit asks for; fields as of program.pxd, Stage."""

    level: int
    effects: int = 0
    mask: int = 0
    until_ns: int = 0
    throttle_per_s: int = 0


class Escalate(msgspec.Struct, frozen=True):
    hits: int
    within_ns: int  # 0: the day
    to: int


class Exempt(msgspec.Struct, frozen=True):
    seed: int  # ACCOUNT_SEED or GROUP_SEED
    id: str
    until_ns: int
    reason: str


class Rule(msgspec.Struct, frozen=True):
    id: str
    version: int
    name: str
    source: Source
    place: Place
    key: str
    events: tuple[str, ...]
    mode: str
    canary_pct: int
    scope: Scope
    marks: tuple[Mark, ...]
    text: str  # of `when`
    condition: Condition
    breach: Stage
    warn: Stage | None
    warn_ppm: int  # 0: no warn stage
    for_ns: int
    ttl_ms: int
    code: int
    cool_off_ns: int
    escalate: Escalate | None
    exempts: tuple[Exempt, ...]
    valid_from_ns: int  # 0: always
    valid_to_ns: int  # 0: always
    tests: tuple[str, ...]

    def is_valid_in(self, from_ns: int, to_ns: int) -> bool:
        """Whether it is in force at some time of this stretch."""
        return self.valid_from_ns < to_ns and (self.valid_to_ns == 0 or self.valid_to_ns > from_ns)


class Change(msgspec.Struct, frozen=True):
    """What became of a rule, or of one of its limits. verdict: new, gone, tighter, looser, other (cannot be told)."""

    rule: str
    verdict: str
    what: str
    before: str = ""
    after: str = ""
    times: int = 0  # how many times looser a limit is, at least; 0 when that has no meaning

    @property
    def is_looser(self) -> bool:
        """Whether it takes a second person."""
        return self.verdict in ("gone", "looser", "other")


class RuleSet(msgspec.Struct, frozen=True):
    """Rules compiled together. sha256: hex, of the files' names and texts."""

    id: str
    version: int
    sha256: str
    program: bytes
    rules: tuple[Rule, ...]
    names: dict[str, object]  # as in the program, for people
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()  # against the previous rule set, when one was given
