"""Rules to the octets of a program: features and marks told apart by what they are, code of both stages, scopes, names.

It judges nothing: what reaches it has been resolved. Equal definitions get equal signatures, whatever their order.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ext.program import assemble, signature_of
from ext.program_codes import ABSENT, AMOUNTS, EVENTS, KEYS, KINDS, LIMITS, MODES, OPS, UNITS
from risk_rules.code import Emitter, Op, TooDeep
from risk_rules.errors import Place, Problems
from risk_rules.rule_types import ACCOUNT_SEED, FOREVER_NS, GROUP_SEED, Mark, Rule, Scope, Stage
from risk_rules.trees import SIGNS, Condition, Use, comparisons, scaled

LOADS = {OPS[name] for name in OPS if "LOAD" in name}


class FeatureRecord(msgspec.Struct):
    """program.pxd, Feature."""

    signature: int
    window_ns: int
    beyond_ppm: int
    within_ns: int
    symbol: int
    mark: int
    filters: int
    kind: int
    amount: int
    events: int
    side: int
    key: int
    venue: int
    unit: int
    instant: int


class MarkRecord(msgspec.Struct):
    """program.pxd, Mark."""

    signature: int
    gap_ns: int
    code: int
    rule: int
    events: int
    key: int


class StageRecord(msgspec.Struct):
    """program.pxd, Stage."""

    until_ns: int
    code: int
    throttle_per_s: int
    mask: int
    level: int
    effects: int


class RuleRecord(msgspec.Struct):
    """program.pxd, Rule."""

    id: str
    warn: StageRecord | None
    breach: StageRecord | None
    valid_from_ns: int
    valid_to_ns: int
    for_ns: int
    cool_off_ns: int
    escalate_within_ns: int
    time_from_s: int
    time_to_s: int
    for_mark: int
    escalate_hits: int
    hit_feature: int
    hit_mark: int
    ttl_ms: int
    version: int
    scope: int
    securities: int
    security_count: int
    exempt: int
    exempt_count: int
    tags_any: int
    tags_none: int
    reject_code: int
    phases: int
    events: int
    key: int
    mode: int
    canary_pct: int
    venues: int
    boards: int
    sides: int
    st: int
    escalate_to: int


class Compiler:
    """Compiles the rules of one set in their order."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.features: dict[Use, int] = {}
        self.feature_records: list[FeatureRecord] = []
        self.marks: dict[str, int] = {}
        self.mark_records: list[MarkRecord] = []
        self.mark_texts: list[str] = []
        self.rules: list[RuleRecord] = []
        self.code: list[Op] = []
        self.scopes: dict[tuple[int, str], list[int]] = {}
        self.prefixes: list[tuple[str, int]] = []
        self.securities: list[tuple[int, int]] = []
        self.exempts: list[tuple[int, str, int]] = []
        self.factors: list[dict[str, object]] = []
        self.last_place = Place("rules")

    # --- one rule ---

    def add(self, rule: Rule) -> None:
        """Appends one rule. A rule that is off takes part in nothing, and so costs nothing."""
        index = len(self.rules)
        self.problems.rule = rule.id
        self.last_place = rule.place
        is_on = rule.mode != "off"
        first_factor = len(self.factors)
        if is_on:
            self.name_factors(rule, index)
            for mark in rule.marks:
                self.add_mark(mark, index, first_factor)
        try:
            warn = self.stage(rule.warn, first_factor, scaled(rule.condition, rule.warn_ppm)) if is_on else None
            breach = self.stage(rule.breach, first_factor, rule.condition) if is_on else None
        except TooDeep as error:
            self.problems.add(rule.place, str(error))
            return
        for_mark = self.own_mark(rule, index, "for", breach.code if breach else 0) if is_on and rule.for_ns else ABSENT
        hit_mark, hit_feature = self.hits(rule, index) if is_on else (ABSENT, ABSENT)
        self.rules.append(self.record(rule, index, warn, breach, for_mark, hit_mark, hit_feature))

    def record(self, rule: Rule, index: int, warn: StageRecord | None, breach: StageRecord | None, for_mark: int,
               hit_mark: int, hit_feature: int) -> RuleRecord:
        scope, escalate = rule.scope, rule.escalate
        securities, exempts = self.name_securities(scope), self.name_exempts(rule)
        self.name_accounts(scope, index)
        return RuleRecord(
            id=rule.id, warn=warn, breach=breach, valid_from_ns=rule.valid_from_ns, valid_to_ns=rule.valid_to_ns,
            for_ns=rule.for_ns if for_mark != ABSENT else 0, cool_off_ns=rule.cool_off_ns,
            escalate_within_ns=escalate.within_ns if escalate else 0, time_from_s=scope.time_from_s,
            time_to_s=scope.time_to_s, for_mark=for_mark,
            escalate_hits=escalate.hits if escalate and hit_mark != ABSENT else 0, hit_feature=hit_feature,
            hit_mark=hit_mark, ttl_ms=rule.ttl_ms, version=rule.version, scope=int(scope.is_named),
            securities=securities, security_count=len(scope.securities), exempt=exempts,
            exempt_count=len(self.exempts) - exempts, tags_any=scope.tags_any, tags_none=scope.tags_none,
            reject_code=rule.code, phases=scope.phases, events=event_bits(rule.events), key=KEYS[rule.key],
            mode=MODES[rule.mode], canary_pct=rule.canary_pct,
            venues=scope.venues, boards=scope.boards, sides=scope.sides, st=scope.st,
            escalate_to=escalate.to if escalate else 0)

    def name_factors(self, rule: Rule, index: int) -> None:
        """The officer's words for every comparison of the rule and its marks, by number."""
        places = [("", rule.condition), *((f"{mark.name}: ", mark.condition) for mark in rule.marks)]
        found = {compare.number: (prefix, compare)
                 for prefix, condition in places for compare in comparisons(condition)}
        for number in range(max(found) + 1):
            prefix, compare = found[number]
            self.factors.append({"rule": index + 1, "text": prefix + compare.text, "unit": compare.left.unit,
                                 "op": SIGNS[compare.op], "limit": compare.limit})

    # --- code ---

    def emitted(self, condition: Condition, first_factor: int) -> int:
        """Appends the code of a condition; its first op."""
        base = len(self.code)
        for op in Emitter(self.feature_of, lambda compare: first_factor + compare.number).block(condition):
            op.to += base
            self.code.append(op)
        return base

    def meaning(self, first: int) -> str:
        """The code from here to its MISS as text that is the same wherever it stands, for signatures."""
        words = []
        for at in range(first, len(self.code)):
            op = self.code[at]
            operands = (op.a, op.b) if op.code == OPS["LOAD_SIDE"] else (op.a,) if op.code in LOADS else ()
            loads = [self.feature_records[index].signature for index in operands]
            words.append(f"{op.code},{op.value},{max(op.to - first, 0)},{loads}")
            if op.code == OPS["MISS"]:
                break
        return ";".join(words)

    def stage(self, stage: Stage | None, first_factor: int, condition: Condition) -> StageRecord | None:
        if stage is None:
            return None
        code = self.emitted(condition, first_factor)
        return StageRecord(stage.until_ns, code, stage.throttle_per_s, stage.mask, stage.level, stage.effects)

    # --- features and marks ---

    def feature_of(self, use: Use) -> int:
        """The number of a feature; equal uses share one."""
        index = self.features.get(use)
        if index is None:
            mark = self.marks[use.mark] if use.mark else ABSENT
            fields = (use.window_ns, use.beyond_ppm, use.within_ns, use.symbol, use.filters, KINDS[use.kind],
                      AMOUNTS[use.amount], use.events, use.side, KEYS[use.key], use.venue, use.instant)
            known = self.mark_records[mark].signature if use.mark else 0
            index = self.features[use] = len(self.feature_records)
            self.feature_records.append(FeatureRecord(
                signature_of(f"feature|{fields}|{known}".encode()), use.window_ns, use.beyond_ppm, use.within_ns,
                use.symbol, mark, use.filters, KINDS[use.kind], AMOUNTS[use.amount], use.events, use.side,
                KEYS[use.key], use.venue, UNITS[use.unit], use.instant))
        return index

    def add_mark(self, mark: Mark, rule: int, first_factor: int) -> None:
        code = self.emitted(mark.condition, first_factor)
        whose = mark.full_name.split("@")[0]
        text = f"mark|{whose}|{mark.name}|{sorted(mark.events)}|{mark.gap_ns}|{mark.key}|{self.meaning(code)}"
        self.append_mark(mark.full_name, MarkRecord(signature_of(text.encode()), mark.gap_ns, code, rule,
                                                    event_bits(mark.events), KEYS[mark.key]))

    def append_mark(self, full_name: str, record: MarkRecord) -> int:
        index = self.marks[full_name] = len(self.mark_records)
        self.mark_records.append(record)
        self.mark_texts.append(full_name)
        return index

    def own_mark(self, rule: Rule, index: int, name: str, code: int | None = None) -> int:
        """A mark that the machine sets itself: since when a condition holds, each enforced hit."""
        meaning = self.meaning(code) if code is not None else ""
        signature = signature_of(f"{name}|{rule.id}|{rule.key}|{meaning}".encode())
        record = MarkRecord(signature, 0, ABSENT, index, 0, KEYS[rule.key])
        return self.append_mark(f"{rule.id}@{rule.version}({name})", record)

    def hits(self, rule: Rule, index: int) -> tuple[int, int]:
        """(mark, feature) that count a rule's hits, for `escalate`."""
        if rule.escalate is None:
            return ABSENT, ABSENT
        mark = self.own_mark(rule, index, "hits")
        use = Use("sum", "count", rule.key, f"hits of {rule.id}", events=event_bits(("mark",)),
                  window_ns=rule.escalate.within_ns, mark=self.mark_texts[mark])
        return mark, self.feature_of(use)

    # --- whom and what ---

    def name_accounts(self, scope: Scope, index: int) -> None:
        for seed, names in ((ACCOUNT_SEED, scope.ids), (GROUP_SEED, scope.groups)):
            for name in names:
                self.scopes.setdefault((seed, name), []).append(index)
        self.prefixes += [(prefix, index) for prefix in sorted(scope.prefixes)]

    def name_securities(self, scope: Scope) -> int:
        first = len(self.securities)
        self.securities += [(symbol, venue) for venue, symbol in sorted(scope.securities)]
        return first

    def name_exempts(self, rule: Rule) -> int:
        """Exemptions, and those out of scope by `except`, forever."""
        first = len(self.exempts)
        self.exempts += [(exempt.seed, exempt.id, exempt.until_ns) for exempt in rule.exempts]
        for seed, names in ((ACCOUNT_SEED, rule.scope.ids_none), (GROUP_SEED, rule.scope.groups_none)):
            self.exempts += [(seed, name, FOREVER_NS) for name in sorted(names)]
        return first

    # --- the whole ---

    def check_room(self) -> None:
        self.problems.rule = "file"
        counts = {"rules": len(self.rules), "features": len(self.feature_records), "marks": len(self.mark_records),
                  "comparisons": len(self.factors)}
        for name, count in counts.items():
            if count > LIMITS[name]:
                self.problems.add(self.last_place, f"{count} {name}, expected at most {LIMITS[name]} in one rule set")

    def program(self, names: Mapping[str, object]) -> bytes:
        """The octets. Raises ValueError when they do not validate, which is a fault of this compiler."""
        scopes = [(seed, name, rules) for (seed, name), rules in sorted(self.scopes.items())]
        octets: bytes = assemble(self.feature_records, self.mark_records, self.rules, self.code, scopes, self.prefixes,
                                 self.securities, self.exempts, msgspec.json.encode(names))
        return octets


def event_bits(events: Iterable[str]) -> int:
    return sum(1 << EVENTS[event] for event in set(events))


def names_of(compiler: Compiler, rules: Iterable[Rule], rule_set: tuple[str, int],
             sources: Mapping[str, str]) -> dict[str, Any]:
    """What the program's numbers are called, for people."""
    return {
        "rule_set": {"id": rule_set[0], "version": rule_set[1]},
        "rules": [{"id": rule.id, "version": rule.version, "name": rule.name,
                   "source": msgspec.to_builtins(rule.source), "text": rule.text, "code": rule.code,
                   "file": rule.place.path, "line": rule.place.line}
                  for rule in rules],
        "factors": compiler.factors,
        "features": [use.text for use in compiler.features],
        "marks": compiler.mark_texts,
        "sources": dict(sources),
    }


def compile_rules(rules: Iterable[Rule], rule_set: tuple[str, int], sources: Mapping[str, str],
                  problems: Problems) -> tuple[bytes, dict[str, Any]]:
    """(program, names). Raises RuleErrors when the machine has no room for them."""
    rules = tuple(rules)
    compiler = Compiler(problems)
    for rule in rules:
        compiler.add(rule)
    compiler.check_room()
    problems.raise_any()
    names = names_of(compiler, rules, rule_set, sources)
    return compiler.program(names), names
