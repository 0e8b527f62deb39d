"""Finds conditions that can never hold, or always do: intervals of values against constants. Proves, never guesses."""

from collections.abc import Iterable, Iterator

from risk_rules.trees import NEGATED, SIGNS, And, Bounds, Compare, Condition, Constant, Or, Value, bounds_of
from risk_rules.units import shown

Fault = tuple[Compare, str]
MOST_NUMBER = 1 << 63


def faults_of(condition: Condition) -> Iterator[Fault]:
    """Each comparison that is always true or always false, each branch that contradicts another."""
    if isinstance(condition, Compare):
        verdict = verdict_of(condition)
        if verdict is not None:
            yield condition, f"`{words(condition)}` is always {'true' if verdict else 'false'}"
        return
    for part in condition.parts:
        yield from faults_of(part)
    if isinstance(condition, And):
        yield from contradictions_of(condition)
        return
    plain = [part for part in condition.parts if isinstance(part, Compare)]
    found = contradiction([Compare(NEGATED[part.op], part.left, part.right) for part in plain])
    if found and len(plain) == len(condition.parts):
        yield plain[0], "one branch of the `or` always holds"


def contradictions_of(condition: And) -> Iterator[Fault]:
    plain = [part for part in condition.parts if isinstance(part, Compare)]
    found = contradiction(plain)
    if found:
        yield found[1], f"unreachable: `{words(found[1])}` contradicts `{words(found[0])}`"
        return
    for branch in (branch for part in condition.parts if isinstance(part, Or) for branch in part.parts):
        parts = branch.parts if isinstance(branch, And) else (branch,)
        found = contradiction([*plain, *(part for part in parts if isinstance(part, Compare))])
        if found:
            yield found[1], f"unreachable branch: `{words(found[1])}` contradicts `{words(found[0])}`"


def words(compare: Compare) -> str:
    limit = compare.limit
    if not limit and isinstance(compare.right, Constant):
        limit = shown(compare.right.value, compare.right.unit)
    return f"{compare.text} {SIGNS[compare.op]} {limit}"


def verdict_of(compare: Compare) -> bool | None:
    """True or False when it is that for every defined value."""
    left, right = bounds_of(compare.left), bounds_of(compare.right)
    if compare.left == compare.right:
        return compare.op in ("GE", "LE", "EQ")
    if compare.op in ("LT", "LE"):
        left, right = right, left
    if compare.op in ("EQ", "NE"):
        apart = is_above(left, right, True) or is_above(right, left, True)
        return (compare.op == "NE") if apart else None
    strict = compare.op in ("GT", "LT")
    if is_above(left, right, strict):
        return True
    return False if is_above(right, left, not strict) else None


def is_above(left: Bounds, right: Bounds, strict: bool) -> bool:
    """Whether every value of the left is above (or at) every value of the right."""
    if left[0] is None or right[1] is None:
        return False
    return left[0] > right[1] if strict else left[0] >= right[1]


def contradiction(parts: Iterable[Compare]) -> tuple[Compare, Compare] | None:
    """Two of these that cannot hold together: the same value between constants that leave nothing."""
    limits: dict[Value, list[tuple[Bounds, Compare]]] = {}
    for part in parts:
        allowed = allowed_by(part)
        if allowed is None:
            continue
        others = limits.setdefault(part.left, [])
        for bounds, other in others:
            if max(low(bounds), low(allowed)) > min(high(bounds), high(allowed)):
                return other, part
        others.append((allowed, part))
    return None


def low(bounds: Bounds) -> int:
    return -MOST_NUMBER if bounds[0] is None else bounds[0]


def high(bounds: Bounds) -> int:
    return MOST_NUMBER if bounds[1] is None else bounds[1]


def allowed_by(compare: Compare) -> Bounds | None:
    """The whole numbers a comparison with a constant leaves."""
    if not isinstance(compare.right, Constant):
        return None
    value = compare.right.value
    return {"GT": (value + 1, None), "GE": (value, None), "LT": (None, value - 1), "LE": (None, value),
            "EQ": (value, value)}.get(compare.op)
