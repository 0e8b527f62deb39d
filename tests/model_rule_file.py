"""A rule file as the model reads it: YAML into plain dataclasses, conditions into trees. Checks nothing.

It must not import risk_rules or ext.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import yaml

from tests.model_expressions import PPM, parse, quantity

SHANGHAI = timezone(timedelta(hours=8))
SECOND = 10**9
VENUES = {"XSHG": 1, "XSHE": 2}
BOARDS = {"MAIN": 1, "STAR": 2, "CHINEXT": 3}
PHASES = {
    "OPEN_CALL": {2, 3},
    "CONTINUOUS": {5},
    "LUNCH": {6},
    "CLOSE_CALL": {7},
    "QUIET": {4},
    "CLOSED": {1},
    "ENDED": {8},
}
SIDES = {"buy": 1, "sell": 2}


@dataclass
class Action:
    """What a stage asks for."""

    level: int
    block: bool = False
    confirm: bool = False
    sells: bool = False
    instrument_only: bool = False
    hold_ns: int = 0
    mask: frozenset[str] = frozenset()
    throttle: int = 0


@dataclass
class AccountSet:
    accounts: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def holds(self, account: str, group: str, tags: frozenset[str]) -> bool:
        named = any(account == a or (a.endswith("*") and account.startswith(a[:-1])) for a in self.accounts)
        return named or group in self.groups or bool(tags & self.tags)


@dataclass
class Scope:
    """Where a rule applies; None: everywhere."""

    accounts: list[AccountSet] | None = None
    besides: list[AccountSet] = field(default_factory=list)
    venues: frozenset[int] | None = None
    boards: frozenset[int] | None = None
    st: str = ""
    securities: frozenset[tuple[int, str]] | None = None
    sides: frozenset[int] | None = None
    phases: frozenset[int] | None = None
    time: tuple[int, int] = (0, 86_400 * SECOND)


@dataclass(frozen=True)
class MarkDefinition:
    """Equal definitions are one mark, over a reload too."""

    rule: str
    name: str
    on: frozenset[str]
    per: str
    gap_ns: int
    text: str


@dataclass
class Mark:
    definition: MarkDefinition
    when: ast.expr


@dataclass
class Exemption:
    account: str
    group: str
    until_ns: int


@dataclass
class Rule:
    id: str
    version: int
    number: int
    mode: str
    canary_pct: int
    per: str
    on: frozenset[str]
    scope: Scope
    marks: dict[str, Mark]
    when: ast.expr
    warn: Action | None
    warn_scale: Fraction
    breach: Action
    for_ns: int = 0
    cool_off_ns: int = 60 * SECOND
    code: int = 1403
    valid: tuple[int, int] = (0, 0)
    escalate: tuple[int, int, int] | None = None  # hits, within, level
    exempt: list[Exemption] = field(default_factory=list)

    @property
    def condition(self) -> str:
        """What `for` remembers it by: over a reload, only the same condition goes on holding."""
        return f"{self.id} {self.per} {self.warn_scale} {ast.dump(self.when)}"


def read_rules(text: str) -> list[Rule]:
    """The rules of one file, in order, those of mode `off` too."""
    content = yaml.safe_load(text)
    for entry in content["rules"]:
        for part in (entry, *(entry.get("marks") or {}).values()):
            part["on"] = part.pop(True)  # YAML 1.1 reads a bare `on` as true
    sets = {name: account_set(entry) for name, entry in (content.get("sets") or {}).items()}
    lists = {name: frozenset(map(security, entry)) for name, entry in (content.get("securities") or {}).items()}
    params = {name: parse(str(value), {}) for name, value in (content.get("params") or {}).items()}
    return [Reading(sets, lists, params, entry).rule(number) for number, entry in enumerate(content["rules"], 1)]


def account_set(entry: dict[str, Any]) -> AccountSet:
    return AccountSet(tuple(map(str, entry.get("accounts", ()))), frozenset(entry.get("groups", ())),
                      frozenset(entry.get("tags", ())))  # fmt: skip


def security(text: str) -> tuple[int, str]:
    symbol, venue = text.split(".")
    return VENUES[venue], symbol


def nanoseconds(text: object) -> int:
    return 0 if str(text) in ("day", "0") else quantity(str(text))[0]


def moment(value: object) -> int:
    """A date or time of the file, in ns; without a zone it is Shanghai's."""
    if value is None:
        return 0
    if not isinstance(value, (date, datetime)):
        value = datetime.fromisoformat(str(value))
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return int((value if value.tzinfo else value.replace(tzinfo=SHANGHAI)).timestamp()) * SECOND


def action(entry: object) -> Action:
    """The short forms and the long one."""
    if entry == "block":
        return Action(1, block=True)
    if entry == "confirm":
        return Action(2, confirm=True)
    if isinstance(entry, str):
        return Action(int(entry[1:]), confirm=entry == "L2")
    assert isinstance(entry, dict)
    confirm = bool(entry.get("confirm"))
    level = int(entry["level"][1:]) if "level" in entry else 2 if confirm else 1
    return Action(
        level, bool(entry.get("block")), confirm, bool(entry.get("sells")), bool(entry.get("instrument_only")),
        nanoseconds(entry.get("hold", "0")), frozenset(entry.get("mask", ())), int(entry.get("throttle", 0)),
    )  # fmt: skip


@dataclass
class Reading:
    """One rule's entry, with what its file names."""

    sets: dict[str, AccountSet]
    lists: dict[str, frozenset[tuple[int, str]]]
    params: dict[str, ast.expr]
    entry: dict[str, Any]

    def rule(self, number: int) -> Rule:
        entry = self.entry
        names = dict(self.params)
        for name, text in (entry.get("let") or {}).items():
            names[name] = parse(str(text), names)
        per = entry["per"]
        mode, _, rest = str(entry.get("mode", "enforce")).replace("False", "off").partition("(")
        warn_at = entry.get("warn_at")
        escalate = entry.get("escalate")
        return Rule(
            id=entry["id"], version=int(entry.get("version", 1)), number=number, mode=mode,
            canary_pct=int(rest.rstrip("%)") or 100), per=per, on=frozenset(entry["on"]), scope=self.scope(),
            marks=self.marks(per, names),
            when=parse(str(entry["when"]), names),
            warn=action(entry.get("warn", "L1")) if warn_at is not None else None,
            warn_scale=Fraction(quantity(str(warn_at))[0], PPM) if warn_at is not None else Fraction(1),
            breach=action(entry.get("breach", "L1")), for_ns=nanoseconds(entry.get("for", "0")),
            cool_off_ns=nanoseconds(entry.get("cool_off", "1 min")), code=int(str(entry.get("code", "R1403"))[1:]),
            valid=(moment(entry.get("valid_from")), moment(entry.get("valid_to"))),
            escalate=escalate and (int(escalate["hits"]), nanoseconds(escalate["within"]), int(escalate["to"][1:])),
            exempt=[Exemption(str(e.get("account", "")), str(e.get("group", "")), moment(e["until"]))
                    for e in entry.get("exempt") or ()],
        )  # fmt: skip

    def marks(self, per: str, names: dict[str, ast.expr]) -> dict[str, Mark]:
        """A mark may ask for those before it; what it is depends on what they are."""
        found: dict[str, Mark] = {}
        for name, entry in (self.entry.get("marks") or {}).items():
            when = parse(str(entry["when"]), names)
            asked = [repr(found[n.id].definition) for n in ast.walk(when) if isinstance(n, ast.Name) and n.id in found]
            text = " ".join([self.entry["per"], ast.dump(when), *asked])
            key, gap = entry.get("per", per), nanoseconds(entry.get("gap", "0"))
            definition = MarkDefinition(self.entry["id"], name, frozenset(entry["on"]), key, gap, text)
            found[name] = Mark(definition, when)
        return found

    def scope(self) -> Scope:
        entry = self.entry.get("scope") or {}
        begin, _, end = str(entry.get("time", "00:00-24:00")).partition("-")
        return Scope(
            accounts=[self.named(text) for text in entry["accounts"]] if "accounts" in entry else None,
            besides=[self.named(text) for text in entry.get("except", ())],
            venues=frozenset(VENUES[v] for v in entry["venues"]) if "venues" in entry else None,
            boards=frozenset(BOARDS[b] for b in entry["boards"]) if "boards" in entry else None,
            st=str(entry.get("st", "")), securities=self.securities(entry.get("securities")),
            sides=frozenset(SIDES[s] for s in entry["sides"]) if "sides" in entry else None,
            phases=frozenset(n for p in entry["phases"] for n in PHASES[p]) if "phases" in entry else None,
            time=(time_of_day(begin), time_of_day(end)),
        )  # fmt: skip

    def named(self, text: str) -> AccountSet:
        if text.startswith("@"):
            return self.sets[text[1:]]
        return AccountSet((text,))

    def securities(self, entries: list[str] | None) -> frozenset[tuple[int, str]] | None:
        if entries is None:
            return None
        return frozenset(s for e in entries for s in (self.lists[e[1:]] if e.startswith("@") else [security(e)]))


def time_of_day(text: str) -> int:
    parts = [int(part) for part in text.strip().split(":")]
    return sum(part * scale for part, scale in zip(parts, (3_600, 60, 1), strict=False)) * SECOND
