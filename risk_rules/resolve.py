"""A rule as written to a rule as meant: names looked up, units folded, what contradicts or can never happen refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ext.codes import BOARDS, REJECT_CODES, VENUES
from ext.program_codes import EFFECTS, LEVELS, MASKS
from risk_rules.calls import Names
from risk_rules.conditions import faults_of
from risk_rules.errors import Place, Problems
from risk_rules.expressions import Parser
from risk_rules.reading import Text
from risk_rules.rule_types import (
    ACCOUNT_SEED,
    ALL_BOARDS,
    ALL_PHASES,
    ALL_SIDES,
    ALL_VENUES,
    DAY_S,
    GROUP_SEED,
    Escalate,
    Exempt,
    Mark,
    Rule,
    Scope,
    Source,
    Stage,
)
from risk_rules.sets import AccountSet
from risk_rules.shapes import MarkShape, RuleShape, ScopeShape, StageShape
from risk_rules.times import date_ns, meets, phase_mask, span_ns, time_of_day_s
from risk_rules.trees import Compare, Condition, comparisons, scaled
from risk_rules.units import Quantity, UnitError

SIDES = {"buy": 1, "sell": 2}
ST = {"only": 1, "none": 2}
BOARDS_AT = {"XSHG": {"MAIN", "STAR"}, "XSHE": {"MAIN", "CHINEXT"}}
SHORT_STAGES = {**{name: (level, 0) for name, level in LEVELS.items()}, "L2": (LEVELS["L2"], EFFECTS["confirm"]),
                "block": (LEVELS["L1"], EFFECTS["block"]), "confirm": (LEVELS["L2"], EFFECTS["confirm"])}
MOST_HOLD_NS = 30 * 86400 * 10**9
MOST_ESCALATE_NS = 1800 * 10**9
ALERT_ONLY_KEYS = ("instrument", "venue", "firm")
TTL = "30 s"


@dataclass
class Surroundings:
    """What a file gives its rules: parameters, account sets, lists of securities, names of the tests beside it."""

    params: Mapping[str, Quantity]
    sets: Mapping[str, AccountSet]
    securities: Mapping[str, list[tuple[int, int]]]
    tests: frozenset[str] | None  # None: there is no test file
    now_ns: int = 0  # begin of the day the rules are read for, 0: any


@dataclass
class RuleReader:
    """Reads one rule. Every fault is noted; `rule` is None when there was one."""

    shape: RuleShape
    around: Surroundings
    problems: Problems
    used: set[str] = field(default_factory=set)
    marks: dict[str, tuple[str, str]] = field(default_factory=dict)
    numbers: int = 0

    def rule(self) -> Rule | None:
        before = len(self.problems.errors)
        shape = self.shape
        needed = (shape.id, shape.version, shape.name, shape.source, shape.per, shape.when, shape.breach)
        if not shape.on or None in needed:
            return None  # noted by the reader of the file's shape
        scope = self.scope(shape.scope) if shape.scope else Scope()
        marks = tuple(mark for name, written in shape.marks.items() if (mark := self.mark(name, written)))
        condition = self.condition(shape.when, shape.on)
        self.check_used()
        breach, ttl_ms = self.stage(shape.breach, "breach")
        warn = self.warn_stage(condition, breach)
        escalate = self.escalate(breach)
        exempts = self.exempts()
        times = self.times()
        code = self.code()
        self.check_tests()
        if condition is None or breach is None or scope is None or len(self.problems.errors) > before:
            return None
        for_ns, cool_off_ns, valid_from_ns, valid_to_ns = times
        mode, _, pct = shape.mode.partition("(")
        return Rule(
            id=str(shape.id), version=shape.version, name=str(shape.name), place=place_of(shape.id), key=str(shape.per),
            source=Source(str(shape.source.doc), str(shape.source.clause), str(shape.source.basis)),
            events=tuple(dict.fromkeys(str(event) for event in shape.on)), mode=mode,
            canary_pct=int(pct[:-2]) if pct else 0, scope=scope, marks=marks, text=" ".join(shape.when.split()),
            condition=condition, breach=breach, warn=warn, warn_ppm=self.warn_ppm(), for_ns=for_ns, ttl_ms=ttl_ms,
            code=code, cool_off_ns=cool_off_ns, escalate=escalate, exempts=exempts, valid_from_ns=valid_from_ns,
            valid_to_ns=valid_to_ns, tests=tuple(str(test) for test in shape.tests))

    # --- faults ---

    def wrong(self, text: str, message: str, meant: str = "", names: tuple[str, ...] = ()) -> None:
        self.problems.add(place_of(text) if isinstance(text, Text) else place_of(self.shape.id), message, meant, names)

    def span(self, text: str, name: str, least: int = 1, most: int = 86400 * 10**9) -> int:
        """A time in ns; 0 after noting a fault."""
        try:
            found = span_ns(text)
        except UnitError as error:
            self.wrong(text, f"{name}: {error}")
            return 0
        if not least <= found <= most:
            self.wrong(text, f"{name}: {text}: " + ("a limit of zero" if found == 0 else "too long"))
            return 0
        return found

    def moment(self, text: str | None, name: str) -> int:
        if text is None:
            return 0
        try:
            return date_ns(text)
        except ValueError:
            self.wrong(text, f"{name}: `{text}` is no day of the calendar")
            return 0

    # --- conditions ---

    def parser(self, events: Sequence[str]) -> Parser:
        names = Names(self.shape.per, tuple(events), self.around.params, self.marks)
        lets = {name: (str(text), at_of(text)) for name, text in self.shape.let.items()}
        return Parser(names, self.problems, lets, number=self.numbers)

    def condition(self, text: str, events: Sequence[str]) -> Condition | None:
        parser = self.parser(events)
        found = parser.parse(str(text), at_of(text))
        self.used |= parser.used
        self.numbers = parser.number
        if found is None:
            return None
        for compare, message in faults_of(found):
            self.problems.add(compare.place() if compare.place else place_of(text), message)
        return found

    def mark(self, name: str, shape: MarkShape) -> Mark | None:
        full_name = f"{self.shape.id}@{self.shape.version}.{name}"
        key = str(shape.per or self.shape.per)
        condition = self.condition(shape.when, shape.on) if shape.when is not None else None
        gap_ns = self.span(shape.gap, f"marks.{name}.gap", 0) if shape.gap is not None else 0
        self.marks[name] = (full_name, key)
        if condition is None:
            return None
        events = tuple(dict.fromkeys(str(event) for event in shape.on))
        return Mark(name, full_name, condition, " ".join(shape.when.split()), events, gap_ns, key)

    def check_used(self) -> None:
        for kind, names in (("mark", self.shape.marks), ("let", self.shape.let)):
            for name in names:
                if name not in self.used:
                    self.problems.warn(place_of(self.shape.id), f"{kind} `{name}` is used nowhere")

    # --- scope ---

    def scope(self, shape: ScopeShape) -> Scope | None:
        accounts = self.account_set(shape.accounts)
        left_out = self.account_set(shape.except_)
        if left_out.prefixes:
            text = "scope.except: the start of ids is not taken here: tag sets, ids and groups only"
            self.wrong(shape.except_[0], text)
        time_from_s, time_to_s = self.time(shape)
        phases = [str(phase) for phase in shape.phases]
        if phases and not meets(phases, time_from_s, time_to_s):
            self.wrong(shape.phases[0], f"unreachable: {', '.join(phases)} is never within {shape.time}")
        boards, venues = [str(board) for board in shape.boards], [str(venue) for venue in shape.venues]
        if boards and venues and not any(board in BOARDS_AT[venue] for venue in venues for board in boards):
            self.wrong(shape.boards[0], f"unreachable: {', '.join(venues)} has no board {', '.join(boards)}")
        return Scope(
            ids=accounts.ids, groups=accounts.groups, prefixes=accounts.prefixes, tags_any=accounts.tags,
            tags_none=left_out.tags, ids_none=left_out.ids, groups_none=left_out.groups,
            venues=sum(1 << VENUES[name] for name in set(venues)) or ALL_VENUES,
            boards=sum(1 << BOARDS[name] for name in set(boards)) or ALL_BOARDS,
            sides=sum(1 << SIDES[name] for name in {str(side) for side in shape.sides}) or ALL_SIDES,
            phases=phase_mask(phases) or ALL_PHASES, st=ST[shape.st] if shape.st else 0,
            securities=self.securities(shape), time_from_s=time_from_s, time_to_s=time_to_s)

    def account_set(self, entries: list[str]) -> AccountSet:
        """The union of sets, ids and starts of ids."""
        found = AccountSet()
        for entry in entries:
            if entry.startswith("@"):
                if entry[1:] not in self.around.sets:
                    self.wrong(entry, f"unknown set `{entry}`", entry[1:], tuple(self.around.sets))
                found = found.union(self.around.sets.get(entry[1:], AccountSet()))
            else:
                found = found.union(AccountSet.of([entry]))
        return found

    def time(self, shape: ScopeShape) -> tuple[int, int]:
        if shape.time is None:
            return 0, DAY_S
        try:
            begin, end = (time_of_day_s(part) for part in shape.time.split("-"))
        except ValueError as error:
            self.wrong(shape.time, f"scope.time: {error}")
            return 0, DAY_S
        if begin >= end:
            self.wrong(shape.time, f"unreachable: scope.time: {shape.time} ends before it begins")
        return begin, end

    def securities(self, shape: ScopeShape) -> frozenset[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        for entry in shape.securities:
            if not entry.startswith("@"):
                found.add((VENUES[entry[7:]], int(entry[:6])))
            elif entry[1:] in self.around.securities:
                found.update(self.around.securities[entry[1:]])
            else:
                self.wrong(entry, f"unknown list `{entry}`", entry[1:], tuple(self.around.securities))
        return frozenset(found)

    # --- stages ---

    def stage(self, written: str | StageShape, stage: str) -> tuple[Stage | None, int]:
        """(stage, time to confirm in ms)."""
        if isinstance(written, str):
            level, effects = SHORT_STAGES[written]
            self.check_effects(written, stage, level, effects)
            return Stage(level, effects), span_ns(TTL) // 10**6
        name = written.level or ("L2" if written.confirm else "L1" if written.block else None)
        anchor = written.level or self.shape.id
        if name is None:
            self.wrong(anchor, f"{stage}: `level` is missing: expected one of " + ", ".join(LEVELS))
            return None, 0
        level = LEVELS[name]
        effects = sum(EFFECTS[effect] for effect in ("block", "sells", "instrument_only") if getattr(written, effect))
        effects |= EFFECTS["confirm"] if written.confirm or name == "L2" else 0
        mask = sum(MASKS[entry] for entry in {str(entry) for entry in written.mask})
        self.check_effects(anchor, stage, level, effects)
        if name == "L4" and not mask:
            self.wrong(anchor, f"{stage}: L4 restricts nothing without `mask`: expected some of " + ", ".join(MASKS))
        if name == "L3" and not written.throttle:
            self.wrong(anchor, f"{stage}: L3 needs `throttle`, new orders a second")
        if written.ttl is not None and not effects & EFFECTS["confirm"]:
            self.wrong(written.ttl, f"{stage}: `ttl` is of an order that waits: expected confirm: true")
        hold_ns = self.span(written.hold, f"{stage}.hold", 1, MOST_HOLD_NS) if written.hold is not None else 0
        ttl_ns = self.span(written.ttl or TTL, f"{stage}.ttl", 10**6, 3600 * 10**9)
        return Stage(level, effects, mask, hold_ns, written.throttle or 0), ttl_ns // 10**6

    def check_effects(self, anchor: str, stage: str, level: int, effects: int) -> None:
        events, block, confirm = set(self.shape.on), effects & EFFECTS["block"], effects & EFFECTS["confirm"]
        if block and not events & {"order", "cancel"}:
            self.wrong(anchor, f"{stage}: nothing to block: the rule is not `on` order or cancel")
        if confirm and "order" not in events:
            self.wrong(anchor, f"{stage}: nothing to confirm: the rule is not `on` order")
        if block and confirm:
            self.wrong(anchor, f"{stage}: either block or confirm, not both")
        if effects & EFFECTS["sells"] and not (block or confirm):
            self.wrong(anchor, f"{stage}: `sells` goes with block or confirm")
        if self.shape.per in ALERT_ONLY_KEYS and LEVELS["L2"] < level < LEVELS["L7"]:
            text = f"{stage}: a rule per {self.shape.per} binds no account: expected L0, L1, block, confirm or L7"
            self.wrong(anchor, text)

    def warn_ppm(self) -> int:
        return int(span_of_share(self.shape.warn_at)) if self.shape.warn_at else 0

    def warn_stage(self, condition: Condition | None, breach: Stage | None) -> Stage | None:
        shape = self.shape
        if shape.warn_at is None:
            if shape.warn is not None:
                self.wrong(shape.id, "`warn` without `warn_at`")
            return None
        share = self.warn_ppm()
        if share == 0:
            self.wrong(shape.warn_at, "warn_at: a limit of zero")
            return None
        warn, _ = self.stage(shape.warn if shape.warn is not None else "L1", "warn")
        if warn is None or breach is None or condition is None:
            return None
        if (warn.level, warn.effects & EFFECTS["block"]) > (breach.level, breach.effects & EFFECTS["block"]):
            self.wrong(shape.warn_at, "warn above breach: the warning asks for more than the breach does")
        warned = scaled(condition, share)
        if warned == condition:
            text = "warn_at changes nothing: no constant on the limit side of > or >=, or too small a one"
            self.wrong(shape.warn_at, text)
        elif any(map(is_lower, comparisons(condition), comparisons(warned))):
            self.wrong(shape.warn_at, "warn above breach: a scaled limit is above the limit itself")
        return warn

    def escalate(self, breach: Stage | None) -> Escalate | None:
        shape = self.shape.escalate
        if shape is None or None in (shape.hits, shape.within, shape.to) or breach is None:
            return None
        level = LEVELS[shape.to]
        if level <= breach.level:
            self.wrong(shape.to, f"escalate: {shape.to} is not above the breach's own level")
        if shape.to == "L4" and not breach.mask:
            self.wrong(shape.to, "escalate: L4 restricts nothing without `mask` in breach")
        if shape.to == "L3" and not breach.throttle_per_s:
            self.wrong(shape.to, "escalate: L3 needs `throttle` in breach")
        if self.shape.per in ALERT_ONLY_KEYS and shape.to != "L7":
            self.wrong(shape.to, f"escalate: a rule per {self.shape.per} binds no account: expected L7")
        within = 0 if shape.within == "day" else self.span(shape.within, "escalate.within", 10**8, MOST_ESCALATE_NS)
        return Escalate(shape.hits, within, level)

    # --- the rest ---

    def exempts(self) -> tuple[Exempt, ...]:
        found = []
        for entry in self.shape.exempt:
            if entry.until is None or entry.reason is None:
                continue
            if (entry.account is None) == (entry.group is None):
                self.wrong(entry.until, "exempt: expected either an account or a group")
                continue
            until_ns = self.moment(entry.until, "exempt.until")
            name = entry.account or entry.group or ""
            if until_ns and self.around.now_ns >= until_ns:
                self.problems.warn(place_of(entry.until), f"the exemption of {name} has expired on {entry.until}")
            found.append(Exempt(ACCOUNT_SEED if entry.account else GROUP_SEED, str(name), until_ns, str(entry.reason)))
        return tuple(found)

    def times(self) -> tuple[int, int, int, int]:
        """for, cool_off, valid_from, valid_to."""
        shape = self.shape
        for_ns = self.span(shape.for_, "for", 10**8) if shape.for_ is not None else 0
        cool_off_ns = self.span(shape.cool_off, "cool_off", 0) if shape.cool_off is not None else 0
        valid_from_ns = self.moment(shape.valid_from, "valid_from")
        valid_to_ns = self.moment(shape.valid_to, "valid_to")
        if valid_to_ns and valid_to_ns <= valid_from_ns:
            self.wrong(shape.valid_to or "", "unreachable: valid_to is not after valid_from")
        return for_ns, cool_off_ns, valid_from_ns, valid_to_ns

    def code(self) -> int:
        text = self.shape.code
        codes = tuple(f"R{code}" for code in REJECT_CODES)
        if text is not None and text not in codes:
            self.wrong(text, f"unknown reject code `{text}`", text, codes)
            return 0
        return int(text[1:]) if text else 0

    def check_tests(self) -> None:
        if self.shape.mode.endswith("(0%)") or self.shape.mode.endswith("(00%)"):
            self.wrong(self.shape.mode, "mode: a limit of zero: canary of 1% to 99%, or off")
        if not self.shape.tests:
            self.problems.warn(place_of(self.shape.id), "names no test")
        if self.shape.tests and self.around.tests is None:
            self.problems.warn(place_of(self.shape.id), "names tests, and there is no test file beside this file")
        for test in self.shape.tests:
            if self.around.tests is not None and test not in self.around.tests:
                self.wrong(test, f"unknown test `{test}`", test, tuple(sorted(self.around.tests)))


def is_lower(before: Compare, after: Compare) -> bool:
    """Whether the breach's constant is below the warning's: a negative limit scaled."""
    values = [getattr(compare.right, "value", 0) for compare in (before, after)]
    return bool(values[0] < values[1])


def span_of_share(text: str) -> int:
    """`90%` in ppm."""
    whole, _, part = text.rstrip("%").partition(".")
    return int(whole) * 10_000 + int(part.ljust(4, "0")[:4] or 0)


def place_of(text: str) -> Place:
    return text.place if isinstance(text, Text) else Place("")


def at_of(text: str) -> Callable[[int], Place]:
    return text.at if isinstance(text, Text) else lambda column: Place("")
