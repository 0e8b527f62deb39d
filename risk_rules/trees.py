"""Conditions as typed trees: what the parser builds, the checks reason about, and the compiler turns into code."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from risk_rules.errors import Place
from risk_rules.units import MOST, Quantity

PPM = 1_000_000


@dataclass(frozen=True)
class Use:
    """One feature as a rule uses it: equal fields, one table of windows. `mark` is a mark's full name, "" for none."""

    kind: str
    unit: str
    key: str
    text: str = field(compare=False)
    amount: str = "one"
    events: int = 0
    window_ns: int = 0
    filters: int = 0
    beyond_ppm: int = 0
    within_ns: int = 0
    side: int = 0
    venue: int = 0
    symbol: int = 0
    mark: str = ""
    instant: int = 0


@dataclass(frozen=True)
class Constant:
    value: int
    unit: str
    fixed: bool = False


@dataclass(frozen=True)
class Load:
    """A feature's value; at a SELL event that of `on_sell`, where the two differ."""

    use: Use
    on_sell: Use
    least: int | None = None
    most: int | None = None

    @property
    def unit(self) -> str:
        return self.use.unit


@dataclass(frozen=True)
class Arithmetic:
    """op: ADD SUB MUL MUL_PPM RATIO MIN MAX of two values, NEG ABS of one (then right is None)."""

    op: str
    left: "Value"
    right: "Value | None"
    unit: str


Value = Constant | Load | Arithmetic


@dataclass(frozen=True)
class Compare:
    """One comparison. `number` tells those of a rule apart; text and limit are the officer's words for its sides."""

    op: str  # GT GE LT LE EQ NE
    left: Value
    right: Value
    number: int = field(default=0, compare=False)
    text: str = field(default="", compare=False)
    limit: str = field(default="", compare=False)
    place: Callable[[], Place] | None = field(default=None, compare=False)  # looked up only for a fault


@dataclass(frozen=True)
class And:
    parts: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Or:
    parts: "tuple[Condition, ...]"


Condition = Compare | And | Or
NEGATED = {"GT": "LE", "GE": "LT", "LT": "GE", "LE": "GT", "EQ": "NE", "NE": "EQ"}
TURNED = {"GT": "LT", "GE": "LE", "LT": "GT", "LE": "GE", "EQ": "EQ", "NE": "NE"}
SIGNS = {"GT": ">", "GE": ">=", "LT": "<", "LE": "<=", "EQ": "==", "NE": "!="}


# --- walks ---


def comparisons(condition: Condition) -> Iterator[Compare]:
    """Every comparison, from left to right."""
    if isinstance(condition, Compare):
        yield condition
        return
    for part in condition.parts:
        yield from comparisons(part)


def values(value: Value) -> Iterator[Value]:
    yield value
    if isinstance(value, Arithmetic):
        yield from values(value.left)
        if value.right is not None:
            yield from values(value.right)


def is_constant(value: Value) -> bool:
    return not any(isinstance(part, Load) for part in values(value))


# --- arithmetic on constants, as the machine computes ---


def computed(op: str, left: int, right: int) -> int:
    """The machine's result for two defined operands; RATIO by zero is the caller's to refuse."""
    results = {
        "ADD": lambda: left + right, "SUB": lambda: left - right, "MUL": lambda: left * right,
        "MUL_PPM": lambda: left * right // PPM, "RATIO": lambda: left * PPM // right,
        "MIN": lambda: min(left, right), "MAX": lambda: max(left, right),
        "NEG": lambda: -left, "ABS": lambda: abs(left),
    }
    return max(-MOST, min(MOST, results[op]()))


def combined(op: str, left: Value, right: Value | None, unit: str) -> Value:
    """The operation as a tree; as one constant when nothing varies and `fixed` is not mixed with what is scaled."""
    if not isinstance(left, Constant) or not (right is None or isinstance(right, Constant)):
        return Arithmetic(op, left, right, unit)
    if right is not None and right.fixed != left.fixed:
        return Arithmetic(op, left, right, unit)
    return Constant(computed(op, left.value, right.value if right else 0), unit, left.fixed)


def constant_of(quantity: Quantity) -> Constant:
    return Constant(quantity.value, quantity.unit, quantity.fixed)


# --- the warn stage ---


def scaled(condition: Condition, share_ppm: int) -> Condition:
    """The condition with every constant of the limit side of > and >= at this share, rounded down; fixed ones stay."""
    if isinstance(condition, Compare):
        is_limit = condition.op in ("GT", "GE")
        return replace(condition, right=scaled_value(condition.right, share_ppm)) if is_limit else condition
    return replace(condition, parts=tuple(scaled(part, share_ppm) for part in condition.parts))


def scaled_value(value: Value, share_ppm: int) -> Value:
    if isinstance(value, Constant):
        return value if value.fixed else replace(value, value=value.value * share_ppm // PPM)
    if isinstance(value, Load):
        return value
    right = None if value.right is None else scaled_value(value.right, share_ppm)
    return replace(value, left=scaled_value(value.left, share_ppm), right=right)


# --- what a value can be at all ---

Bounds = tuple[int | None, int | None]  # least and most, None: no bound


def bounds_of(value: Value) -> Bounds:
    """Between what a value lies whatever happens; a share of a part in a whole is not taken to be at most 1."""
    if isinstance(value, Constant):
        return value.value, value.value
    if isinstance(value, Load):
        return value.least, value.most
    left = bounds_of(value.left)
    right = bounds_of(value.right) if value.right is not None else (None, None)
    return bounds_of_operation(value.op, left, right)


def bounds_of_operation(op: str, left: Bounds, right: Bounds) -> Bounds:
    if op == "ADD":
        return both(left[0], right[0], lambda a, b: a + b), both(left[1], right[1], lambda a, b: a + b)
    if op == "SUB":
        return both(left[0], right[1], lambda a, b: a - b), both(left[1], right[0], lambda a, b: a - b)
    if op == "NEG":
        return negative(left[1]), negative(left[0])
    if op == "ABS":
        return 0, both(negative(left[0]), left[1], max)
    if op == "MIN":
        known = [most for most in (left[1], right[1]) if most is not None]
        return both(left[0], right[0], min), min(known) if known else None
    if op == "MAX":
        known = [least for least in (left[0], right[0]) if least is not None]
        return max(known) if known else None, both(left[1], right[1], max)
    is_positive = left[0] is not None and left[0] >= 0 and right[0] is not None and right[0] >= 0
    return (0, None) if is_positive else (None, None)  # MUL, MUL_PPM, RATIO


def both(left: int | None, right: int | None, of: Callable[[int, int], int]) -> int | None:
    return None if left is None or right is None else of(left, right)


def negative(number: int | None) -> int | None:
    return None if number is None else -number
