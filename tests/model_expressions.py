"""The rule language as the model reads it: a condition as a Python syntax tree with its units folded, and its truth.

Written from the language's description alone; it must not import risk_rules or ext. Values are whole numbers: money in
1e-4 yuan, ratios in ppm, times in ns. UNDEFINED (None) makes every comparison false, also a negated one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

UNDEFINED = None
PPM = 1_000_000
FACTORS = {"万": 10**4, "亿": 10**8, "": 1}
UNITS = {
    "shares": ("shares", 1), "股": ("shares", 1), "yuan": ("yuan", 10_000), "元": ("yuan", 10_000),
    "yuan/share": ("price", 10_000), "%": ("ratio", 10_000), "bps": ("ratio", 100), "ppm": ("ratio", 1),
    "ms": ("time", 10**6), "s": ("time", 10**9), "min": ("time", 60 * 10**9), "h": ("time", 3_600 * 10**9),
    "": ("count", 1),
}  # fmt: skip
LITERAL = re.compile(
    r"(?<![\w.])(?P<number>\d[\d_]*(?:\.\d+)?)\s*(?P<times>[万亿]?)\s*"
    r"(?P<unit>yuan/share\b|shares\b|股|yuan\b|元|%|bps\b|ppm\b|ms\b|min\b|s\b|h\b|)"
)
SECURITY = re.compile(r"(?<![\w.\"])(\d{6}\.XSH[GE])")
KEY = re.compile(r"\b((?:account|controller) x (?:instrument|venue))\b")
ORDERED = {
    ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b, ast.Lt: lambda a, b: a < b, ast.LtE: lambda a, b: a <= b,
    ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b,
}  # fmt: skip
NEGATED = {ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
TURNED = {ast.Gt: ast.Lt, ast.GtE: ast.LtE, ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq}

Number = int | None
Read = Callable[[ast.expr], Number]


def quantity(text: str) -> tuple[int, str]:
    """(value, unit) of a literal such as `30万 shares` or `0.5%`."""
    found = LITERAL.fullmatch(text.strip())
    assert found, text
    return of_match(found)


def of_match(found: re.Match[str]) -> tuple[int, str]:
    unit, scale = UNITS[found["unit"]]
    value = Decimal(found["number"].replace("_", "")) * FACTORS[found["times"]] * scale
    assert value == int(value), found[0]
    return int(value), unit


def parse(text: str, names: Mapping[str, ast.expr]) -> ast.expr:
    """The tree of one expression: literals become constants that carry their unit, `names` what they say."""
    text = KEY.sub(r'"\1"', SECURITY.sub(r'"\1"', " ".join(text.split())))
    parts = re.split(r'("[^"]*")', text)
    parts = [part if part.startswith('"') else LITERAL.sub(fold, part) for part in parts]
    tree = ast.parse("".join(parts).strip(), mode="eval")
    return Inlined(names).visit(tree).body


def fold(found: re.Match[str]) -> str:
    value, unit = of_match(found)
    return f"Q({value}, {unit!r})"


class Inlined(ast.NodeTransformer):
    """Puts parameters and named sub-expressions in the place of their names, and constants for quantities."""

    def __init__(self, names: Mapping[str, ast.expr]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.names.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if name_of(node) != "Q":
            return node
        constant = ast.Constant(node.args[0].value)  # type: ignore[attr-defined]
        constant.kind = node.args[1].value  # type: ignore[attr-defined]
        return constant


def name_of(node: ast.expr) -> str:
    """The name that a feature, an instant or a function is written with."""
    target = node.func if isinstance(node, ast.Call) else node
    return target.id if isinstance(target, ast.Name) else ""


def features_in(node: ast.expr) -> list[ast.expr]:
    """Every feature and instant that the expression names, outermost."""
    if isinstance(node, ast.Constant):
        return []
    if isinstance(node, ast.Name) or (isinstance(node, ast.Call) and name_of(node) not in FUNCTIONS):
        return [node]
    return [
        found for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) for found in features_in(child)
    ]


FUNCTIONS = ("abs", "min", "max", "ratio", "fixed")


@dataclass
class Comparison:
    """One comparison as it was made: its two sides, and whether it held."""

    value: Number
    limit: Number
    holds: bool


@dataclass
class Judge:
    """Answers one condition from what `read` says of each feature.

    scale: what the constants to be exceeded are multiplied with (the warn stage's share), rounded down; trace: the
    comparisons in the order they were made, one that did not have to be made is absent.
    """

    read: Read
    scale: Fraction = Fraction(1)
    strict: bool = False  # a wrong model's: > where >= is written
    trace: list[Comparison] = field(default_factory=list)

    def holds(self, node: ast.expr, wanted: bool = True) -> bool:
        """Whether the condition, or with wanted=False its contrary, holds."""
        match node:
            case ast.UnaryOp(op=ast.Not()):
                return self.holds(node.operand, not wanted)
            case ast.BoolOp():
                every = isinstance(node.op, ast.And) is wanted
                answers = (self.holds(part, wanted) for part in node.values)
                return all(answers) if every else any(answers)
            case ast.Compare():
                sides = [node.left, *node.comparators]
                answers = (
                    self.compare(a, type(op), b, wanted) for a, op, b in zip(sides, node.ops, sides[1:], strict=False)
                )
                return all(answers) if wanted else any(answers)
        value = self.read(node)
        return self.note(value, 1, value is not UNDEFINED and bool(value) is wanted)

    def compare(self, left: ast.expr, op: type[ast.cmpop], right: ast.expr, wanted: bool) -> bool:
        op = op if wanted else NEGATED[op]
        if not features_in(left):  # `5 < x` is `x > 5`
            left, op, right = right, TURNED[op], left
        op = ast.Gt if self.strict and op is ast.GtE else op
        scale = self.scale if op in (ast.Gt, ast.GtE) else Fraction(1)
        a, b = self.number(left), self.number(right, scale)
        return self.note(a, b, a is not UNDEFINED and b is not UNDEFINED and ORDERED[op](a, b))

    def note(self, value: Number, limit: Number, holds: bool) -> bool:
        self.trace.append(Comparison(value, limit, holds))
        return holds

    def number(self, node: ast.expr, scale: Fraction = Fraction(1)) -> Number:
        """The value of an arithmetic expression; constants in it times `scale`, those in fixed(...) as they are."""
        match node:
            case ast.Constant(value=int()):
                return int(node.value * scale)
            case ast.UnaryOp(op=ast.USub()):
                return apply(lambda a: -a, self.number(node.operand, scale))
            case ast.BinOp():
                return self.binary(node, scale)
            case ast.Call() if name_of(node) in FUNCTIONS:
                return self.function(node, scale)
        return self.read(node)

    def binary(self, node: ast.BinOp, scale: Fraction) -> Number:
        if isinstance(node.op, ast.Mult):
            if not features_in(node):  # a product of constants is one constant
                return int(apply(times(node), self.number(node.left), self.number(node.right)) * scale)
            return apply(times(node), self.number(node.left, scale), self.number(node.right, scale))
        a, b = self.number(node.left, scale), self.number(node.right, scale)
        return apply(lambda a, b: a + b, a, b) if isinstance(node.op, ast.Add) else apply(lambda a, b: a - b, a, b)

    def function(self, node: ast.Call, scale: Fraction) -> Number:
        name = name_of(node)
        if name == "fixed":
            return self.number(node.args[0])
        if name == "ratio":
            return apply(ratio, *(self.number(a) for a in node.args))
        values = [self.number(a, scale) for a in node.args]
        return apply({"abs": abs, "min": min, "max": max}[name], *values)


def times(node: ast.BinOp) -> Callable[..., int]:
    """The product: with a ratio, parts per million, rounded down."""
    shares = [getattr(side, "kind", None) == "ratio" for side in (node.left, node.right)]
    return (lambda a, b: a * b // PPM) if any(shares) else (lambda a, b: a * b)


def apply(function: Callable[..., Number], *values: Number) -> Number:
    return UNDEFINED if any(v is UNDEFINED for v in values) else function(*values)


def ratio(part: int, whole: int) -> Number:
    return UNDEFINED if whole == 0 else part * PPM // whole
