"""Compares two rule sets: what got tighter, looser, new or gone, limit by limit. It judges no change wise or not."""

from collections.abc import Iterable, Iterator

from ext.program_codes import EFFECTS, MASKS, MODES
from risk_rules.rule_types import Change, Mark, Rule, Scope, Stage
from risk_rules.times import date_text
from risk_rules.trees import SIGNS, And, Arithmetic, Compare, Condition, Constant, Load, Value, comparisons
from risk_rules.units import shown

TEN_TIMES = 10
YES_NO = ("false", "true")
UPWARD = ("GT", "GE")  # a larger constant is looser
DOWNWARD = ("LT", "LE")


def compare(before: Iterable[Rule], after: Iterable[Rule]) -> tuple[Change, ...]:
    """Every change from one rule set to the next, in the order of the next; rules that are gone come last."""
    old = by_id(before)
    new = by_id(after)
    changes: list[Change] = []
    for rule_id, rules in new.items():
        if rule_id not in old:
            changes.append(Change(rule_id, "new", "rule", "", rules[0].text))
            continue
        pairs = zip(old[rule_id], rules, strict=False)
        changes += [change for was, rule in pairs for change in changes_of(was, rule)]
        for rule in rules[len(old[rule_id]):]:
            changes.append(Change(rule_id, "new", f"version {rule.version}", "", rule.text))
        for rule in old[rule_id][len(rules):]:
            changes.append(Change(rule_id, "gone", f"version {rule.version}", rule.text))
    changes += [Change(rule_id, "gone", "rule", rules[0].text) for rule_id, rules in old.items() if rule_id not in new]
    return tuple(changes)


def needs_second_person(changes: Iterable[Change]) -> bool:
    return any(change.is_looser for change in changes)


def far_looser(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Those that make a limit ten times looser or more. A rule that goes has no limit left to compare."""
    return tuple(change for change in changes if change.times >= TEN_TIMES)


def by_id(rules: Iterable[Rule]) -> dict[str, list[Rule]]:
    """Rules by id, each id's versions by the time they come into force."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.id, []).append(rule)
    for versions in found.values():
        versions.sort(key=lambda rule: rule.valid_from_ns)
    return found


# --- one rule ---


def changes_of(was: Rule, now: Rule) -> Iterator[Change]:
    yield from condition_changes(now.id, "when", was.condition, now.condition)
    yield from mark_changes(now.id, was.marks, now.marks)
    yield from ranked(now.id, "mode", mode_rank(was), mode_rank(now), was.mode, now.mode)
    yield from stage_changes(now.id, "breach", was.breach, now.breach)
    yield from stage_changes(now.id, "warn", was.warn, now.warn)
    yield from limits(now.id, "warn_at", was.warn_ppm or 10**6, now.warn_ppm or 10**6, "ratio", tenfold=False)
    yield from limits(now.id, "for", was.for_ns, now.for_ns, "time")
    yield from escalate_changes(was, now)
    yield from scope_changes(now.id, was.scope, now.scope)
    yield from exempt_changes(was, now)
    yield from valid_changes(was, now)
    if was.key != now.key:
        yield Change(now.id, "other", "per", was.key, now.key)
    yield from subset(now.id, "on", frozenset(was.events), frozenset(now.events))
    if was.ttl_ms != now.ttl_ms:
        yield from limits(now.id, "ttl", was.ttl_ms * 10**6, now.ttl_ms * 10**6, "time", tenfold=False)
    if was.code != now.code:
        yield Change(now.id, "tighter", "code", f"R{was.code}", f"R{now.code}")


def mode_rank(rule: Rule) -> int:
    return int(MODES[rule.mode]) * 100 + rule.canary_pct


def ranked(rule: str, what: str, was: int, now: int, before: str, after: str) -> Iterator[Change]:
    """More is tighter."""
    if was != now:
        yield Change(rule, "tighter" if now > was else "looser", what, before, after)


def limits(rule: str, what: str, was: int, now: int, unit: str, *, tenfold: bool = True) -> Iterator[Change]:
    """Less is tighter."""
    if was == now:
        return
    times = now // was if tenfold and was > 0 and now > was else 0
    yield Change(rule, "looser" if now > was else "tighter", what, shown(was, unit), shown(now, unit), times)


def subset(rule: str, what: str, was: frozenset[str], now: frozenset[str]) -> Iterator[Change]:
    """More is tighter; some gone is looser."""
    if was != now:
        verdict = "tighter" if now > was else "looser"
        yield Change(rule, verdict, what, ", ".join(sorted(was)), ", ".join(sorted(now)))


# --- conditions ---


def condition_changes(rule: str, what: str, was: Condition, now: Condition) -> Iterator[Change]:
    """Limit by limit while the conditions are alike but for constants; else nobody can tell but a person."""
    if was == now:
        return
    before, after = list(comparisons(was)), list(comparisons(now))
    if skeleton(was) != skeleton(now):
        yield from branch_changes(rule, what, was, now)
        return
    for one, other in zip(before, after, strict=True):
        if one != other:
            yield from comparison_changes(rule, one, other)


def branch_changes(rule: str, what: str, was: Condition, now: Condition) -> Iterator[Change]:
    """One more condition to meet is looser, one less is tighter, else it may be either; and limits that moved."""
    old = set(was.parts if isinstance(was, And) else (was,))
    new = set(now.parts if isinstance(now, And) else (now,))
    verdict = "looser" if new > old else "tighter" if new < old else "other"
    yield Change(rule, verdict, what, words(was), words(now))
    limits_now = {skeleton(part): part for part in comparisons(now)}
    for part in comparisons(was):
        other = limits_now.get(skeleton(part), part)
        if other != part and is_limit(part):
            yield from comparison_changes(rule, part, other)


def words(condition: Condition) -> str:
    if isinstance(condition, Compare):
        return f"{condition.text} {SIGNS[condition.op]} {condition.limit}"
    return (" and " if isinstance(condition, And) else " or ").join(f"({words(part)})" for part in condition.parts)


def skeleton(condition: Condition) -> object:
    """The condition without the values of its constants, and > as >=: integers make them one limit with two values."""
    if isinstance(condition, Compare):
        return condition.op[0], bones(condition.left), bones(condition.right)
    return type(condition).__name__, tuple(skeleton(part) for part in condition.parts)


def bones(value: Value) -> object:
    if isinstance(value, Constant):
        return value.unit
    if isinstance(value, Load):
        return value
    return value.op, bones(value.left), None if value.right is None else bones(value.right)


def constants(value: Value) -> list[Constant]:
    if isinstance(value, Arithmetic):
        return constants(value.left) + ([] if value.right is None else constants(value.right))
    return [value] if isinstance(value, Constant) else []


def comparison_changes(rule: str, was: Compare, now: Compare) -> Iterator[Change]:
    """A limit that moved: away from what is measured is looser, and by how much."""
    before, after = constants(was.right), constants(now.right)
    moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    unclear = Change(rule, "other", was.text, words(was), words(now))
    if constants(was.left) != constants(now.left) or len(moved) > 1 or not is_limit(was):
        yield unclear
        return
    one, other = moved[0] if moved else (before[-1], after[-1])
    first, last = first_stopped(was.op, one), first_stopped(now.op, other)
    if first == last:  # only `fixed` came or went, or > became >= with the next number
        yield unclear
        return
    is_looser = (last > first) == (was.op in UPWARD)
    smaller, larger = sorted((one.value, other.value))
    times = larger // smaller if is_looser and smaller > 0 else TEN_TIMES if is_looser and smaller < larger else 0
    yield Change(rule, "looser" if is_looser else "tighter", f"{was.text} {SIGNS[now.op]}", shown(one.value, one.unit),
                 shown(other.value, other.unit), times)


def is_limit(found: Compare) -> bool:
    """Whether one value is held against a constant, or against a share of what is never negative."""
    return found.op in (*UPWARD, *DOWNWARD) and (isinstance(found.right, Constant) or is_share(found.right))


def first_stopped(op: str, limit: Constant) -> int:
    """The value next to the limit that no longer passes; values are integers."""
    return limit.value + (1 if op == "GT" else -1 if op == "LT" else 0)


def is_share(value: Value) -> bool:
    """A constant times what is never negative: it grows with the constant."""
    if not isinstance(value, Arithmetic) or value.op not in ("MUL", "MUL_PPM") or value.right is None:
        return False
    loads = [side for side in (value.left, value.right) if isinstance(side, Load)]
    return len(loads) == 1 and loads[0].least is not None and loads[0].least >= 0


def mark_changes(rule: str, was: tuple[Mark, ...], now: tuple[Mark, ...]) -> Iterator[Change]:
    old, new = {mark.name: mark for mark in was}, {mark.name: mark for mark in now}
    for name in old.keys() | new.keys():
        if name not in old or name not in new:
            yield Change(rule, "other", f"marks.{name}", "" if name not in old else old[name].text,
                         "" if name not in new else new[name].text)
            continue
        before, after = old[name], new[name]
        yield from condition_changes(rule, f"marks.{name}", before.condition, after.condition)
        yield from limits(rule, f"marks.{name}.gap", before.gap_ns, after.gap_ns, "time", tenfold=False)
        if (before.events, before.key) != (after.events, after.key):
            yield Change(rule, "other", f"marks.{name}", f"{before.key} on {', '.join(before.events)}",
                         f"{after.key} on {', '.join(after.events)}")


# --- stages, scope, exemptions ---


def stage_changes(rule: str, what: str, was: Stage | None, now: Stage | None) -> Iterator[Change]:
    if was is None or now is None:
        if was is not now:
            yield Change(rule, "tighter" if was is None else "looser", what, "" if was is None else f"L{was.level}",
                         "" if now is None else f"L{now.level}")
        return
    yield from ranked(rule, f"{what}.level", was.level, now.level, f"L{was.level}", f"L{now.level}")
    for name in ("block", "confirm", "sells"):
        before, after = was.effects & EFFECTS[name], now.effects & EFFECTS[name]
        yield from ranked(rule, f"{what}.{name}", before, after, YES_NO[before > 0], YES_NO[after > 0])
    before, after = was.effects & EFFECTS["instrument_only"], now.effects & EFFECTS["instrument_only"]
    yield from ranked(rule, f"{what}.instrument_only", after, before, YES_NO[before > 0], YES_NO[after > 0])
    if was.level == now.level:  # what another level forbids is told by the level
        yield from subset(rule, f"{what}.mask", mask_names(was.mask), mask_names(now.mask))
        yield from limits(rule, f"{what}.throttle", was.throttle_per_s, now.throttle_per_s, "count")
    forever = 1 << 62
    yield from ranked(rule, f"{what}.hold", was.until_ns or forever, now.until_ns or forever,
                      hold_words(was), hold_words(now))


def mask_names(mask: int) -> frozenset[str]:
    return frozenset(name for name, bit in MASKS.items() if mask & bit)


def hold_words(stage: Stage) -> str:
    return shown(stage.until_ns, "time") if stage.until_ns else "until released"


def escalate_changes(was: Rule, now: Rule) -> Iterator[Change]:
    before, after = was.escalate, now.escalate
    if before is None or after is None:
        if before is not after:
            yield Change(now.id, "tighter" if before is None else "looser", "escalate")
        return
    yield from limits(now.id, "escalate.hits", before.hits, after.hits, "count")
    yield from ranked(now.id, "escalate.to", before.to, after.to, f"L{before.to}", f"L{after.to}")
    day_ns = 86400 * 10**9
    yield from ranked(now.id, "escalate.within", before.within_ns or day_ns, after.within_ns or day_ns,
                      shown(before.within_ns or day_ns, "time"), shown(after.within_ns or day_ns, "time"))


def scope_changes(rule: str, was: Scope, now: Scope) -> Iterator[Change]:
    """Whom or what a rule is for no longer is loosened."""
    for name in ("venues", "boards", "sides", "phases"):
        yield from subset(rule, f"scope.{name}", bits_of(getattr(was, name)), bits_of(getattr(now, name)))
    for what, before, after in (("accounts", accounts_of(was), accounts_of(now)),
                                ("securities", texts(was.securities), texts(now.securities))):
        if before != after:
            wider = not after or (bool(before) and after > before)
            yield Change(rule, "tighter" if wider else "looser", f"scope.{what}", listed(before), listed(after))
    for name, is_added in differences(excepted(was), excepted(now)):
        yield Change(rule, "looser" if is_added else "tighter", "scope.except", "" if is_added else name,
                     name if is_added else "")
    if was.st != now.st:
        yield Change(rule, "tighter" if now.st == 0 else "looser", "scope.st", str(was.st), str(now.st))
    if (was.time_from_s, was.time_to_s) != (now.time_from_s, now.time_to_s):
        covers = now.time_from_s <= was.time_from_s and now.time_to_s >= was.time_to_s
        yield Change(rule, "tighter" if covers else "looser", "scope.time")


def accounts_of(scope: Scope) -> frozenset[str]:
    return frozenset({*scope.ids, *(f"group {name}" for name in scope.groups), *(f"{name}*" for name in scope.prefixes),
                      *(f"tag {bit}" for bit in bits_of(scope.tags_any))})


def excepted(scope: Scope) -> frozenset[str]:
    return frozenset({*scope.ids_none, *(f"group {name}" for name in scope.groups_none),
                      *(f"tag {bit}" for bit in bits_of(scope.tags_none))})


def texts(securities: frozenset[tuple[int, int]]) -> frozenset[str]:
    return frozenset(f"{symbol:06}.{'XSHG' if venue == 1 else 'XSHE'}" for venue, symbol in securities)


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(str(name) for name in names)) or "all"


def differences(was: frozenset[str], now: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """(name, whether it was added)."""
    yield from ((name, name in now) for name in sorted(was ^ now))


def exempt_changes(was: Rule, now: Rule) -> Iterator[Change]:
    old = {(exempt.seed, exempt.id): exempt.until_ns for exempt in was.exempts}
    new = {(exempt.seed, exempt.id): exempt.until_ns for exempt in now.exempts}
    for key in sorted(old.keys() | new.keys()):
        if old.get(key, 0) != new.get(key, 0):
            yield Change(now.id, "looser" if new.get(key, 0) > old.get(key, 0) else "tighter", f"exempt {key[1]}")


def valid_changes(was: Rule, now: Rule) -> Iterator[Change]:
    """In force for less time is looser."""
    forever = 1 << 62
    yield from ranked(now.id, "valid_from", -was.valid_from_ns, -now.valid_from_ns, date_text(was.valid_from_ns),
                      date_text(now.valid_from_ns))
    yield from ranked(now.id, "valid_to", was.valid_to_ns or forever, now.valid_to_ns or forever,
                      date_text(was.valid_to_ns), date_text(now.valid_to_ns))


def bits_of(mask: int) -> frozenset[str]:
    return frozenset(str(bit) for bit in range(mask.bit_length()) if mask >> bit & 1)
