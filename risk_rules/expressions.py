"""What an officer's condition means: text to a typed tree, every fault at its column. Emits no code and reads no file.

Literals with units are folded to bare zeros of the same width first, so that Python's own parser reads the rest and its
columns are the text's.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from risk_rules.calls import FUNCTIONS, Literals, Names, Security, Wrong, read_use, security_of
from risk_rules.errors import Place, Problems
from risk_rules.trees import (
    NEGATED,
    TURNED,
    And,
    Compare,
    Condition,
    Constant,
    Or,
    Value,
    combined,
    constant_of,
    is_constant,
)
from risk_rules.units import LITERAL, NO_UNITS, UNIT_WORDS, WORD_AFTER, Quantity, UnitError, quantity_of

MOST_TEXT = 4000
MOST_PARTS = 2000
MOST_DEPTH = 40
TOKEN = re.compile(r"(?P<security>[0-9]{6}\.(?:XSHG|XSHE)\b)"
                   r"|(?P<key>(?:account|controller)\s+x\s+(?:instrument|venue)\b)"
                   r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9])|(?P<other>.)", re.S)
KNOWN_CHARACTERS = set(" \t\n\r()+-*/%<>=!,.~^&|@:;[]{}'\"?$`\\")
OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Gt: "GT", ast.GtE: "GE", ast.Lt: "LT", ast.LtE: "LE", ast.Eq: "EQ", ast.NotEq: "NE",
}
SYNTAX = {"positional argument follows keyword argument": "names like `aggressive` come before those with `=`"}
NOT_TAKEN = {
    ast.IfExp: "`if`", ast.Lambda: "`lambda`", ast.Attribute: "a dot", ast.Subscript: "an index", ast.List: "a list",
    ast.Tuple: "a comma outside of a call", ast.Dict: "a mapping", ast.Set: "a set", ast.JoinedStr: "text",
    ast.NamedExpr: "`:=`", ast.Starred: "`*`", ast.Await: "`await`", ast.GeneratorExp: "`for`", ast.ListComp: "`for`",
}


@dataclass(frozen=True)
class Source:
    """An expression's text, as it stands and folded, with the literals by the column of their zeros."""

    text: str
    at: Callable[[int], Place]
    folded: str = ""
    literals: Literals = field(default_factory=dict)
    start: int = 0  # columns of the folded text before the first that counts
    ends: Mapping[int, int] = field(default_factory=dict)  # end of a literal's zero -> end of the literal

    def words(self, node: ast.expr) -> str:
        """The officer's own words for a node, on one line."""
        end = node.end_col_offset or 0
        return " ".join(self.text[node.col_offset + self.start : self.ends.get(end, end) + self.start].split())


def folded(text: str, at: Callable[[int], Place]) -> Source:
    """Replaces literals with zeros padded to their width. Raises Wrong with the first thing that is no literal."""
    if len(text) > MOST_TEXT:
        raise Wrong(0, f"an expression of {len(text)} characters, expected at most {MOST_TEXT}: use `let`")
    start = len(text) - len(text.lstrip())
    literals: dict[int, Quantity | Security | str] = {}
    ends: dict[int, int] = {}
    parts: list[str] = []
    column = 0
    while column < len(text):
        match = TOKEN.match(text, column)
        assert match is not None
        piece = match[0]
        if match.lastgroup == "number":
            piece, literals[column - start] = number_at(text, column)
        elif match.lastgroup == "security":
            literals[column - start] = security_of(piece)
        elif match.lastgroup == "key":
            literals[column - start] = " ".join(piece.split())
        elif match.lastgroup == "other" and piece not in KNOWN_CHARACTERS:
            raise Wrong(column, f"`{piece}` is not part of the language")
        is_literal = match.lastgroup in ("number", "security", "key")
        if is_literal:
            ends[column - start + 1] = column - start + len(piece.rstrip())
        parts.append("0".ljust(len(piece)) if is_literal else " " if piece.isspace() else piece)
        column += len(piece)
    return Source(text, at, "".join(parts).strip(), literals, start, ends)


def number_at(text: str, column: int) -> tuple[str, Quantity]:
    """The literal that begins here, and its text."""
    match = LITERAL.match(text, column)
    assert match is not None
    after = WORD_AFTER.match(text, match.end())
    if after and after["word"] not in NO_UNITS:
        raise Wrong(after.start("word"), f"unknown unit `{after['word']}`", after["word"], UNIT_WORDS)
    try:
        return match[0], quantity_of(match)
    except UnitError as error:
        raise Wrong(column, str(error), error.meant, UNIT_WORDS) from None


class Noted(Exception):
    """A fault was noted: what it stands in has no value."""


@dataclass
class Parser:
    """Parses the expressions of one rule. `lets` are named sub-expressions: their text and where it stands."""

    names: Names
    problems: Problems
    lets: Mapping[str, tuple[str, Callable[[int], Place]]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)  # parameters, lets and marks that were named
    inside: list[str] = field(default_factory=list)  # lets that are being inlined
    number: int = 0  # of the next comparison
    parts: int = 0
    depth: int = 0
    failed: bool = False
    source: Source = field(default_factory=lambda: Source("", lambda column: Place("")))

    def parse(self, text: str, at: Callable[[int], Place]) -> Condition | None:
        """The condition, or None after noting every fault in it."""
        self.failed, self.parts = False, 0
        try:
            with self.reading(text, at) as node:
                condition = self.guarded(node, False)
        except Noted:
            return None
        return None if self.failed else condition

    @contextmanager
    def reading(self, text: str, at: Callable[[int], Place]) -> Iterator[ast.expr]:
        """Parses the text and makes it the one that columns are of. Raises Noted after noting a fault in it."""
        before, self.source = self.source, Source(text, at)
        try:
            self.source = folded(text, at)
            yield parsed(self.source)
        except Wrong as wrong:
            self.note(wrong, self.source)
            raise Noted from None
        finally:
            self.source = before

    def note(self, wrong: Wrong, source: Source) -> None:
        self.failed = True
        self.problems.add(source.at(wrong.column + source.start), wrong.message, wrong.meant, wrong.names)

    def guarded(self, node: ast.expr, negate: bool) -> Condition:
        """A condition; after a fault, which is noted, any condition, so that the rest is still read."""
        try:
            return self.condition(node, negate)
        except Wrong as wrong:
            self.note(wrong, self.source)
        except Noted:
            pass
        return Compare("GT", Constant(0, "count"), Constant(0, "count"))

    # --- conditions ---

    def condition(self, node: ast.expr, negate: bool) -> Condition:
        with self.deeper(node):
            if isinstance(node, ast.BoolOp):
                parts = [self.guarded(part, negate) for part in node.values]
                return joined(parts, isinstance(node.op, ast.And) != negate)
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                return self.condition(node.operand, not negate)
            if isinstance(node, ast.Compare):
                return self.chain(node, negate)
            if isinstance(node, ast.Name) and node.id in self.lets:
                with self.inlined(node) as inner:
                    return self.condition(inner, negate)
            return self.flag(node, negate)

    def chain(self, node: ast.Compare, negate: bool) -> Condition:
        """a < b < c is a < b and b < c."""
        operands = [node.left, *node.comparators]
        parts = [self.comparison(operator, left, right, negate)
                 for operator, left, right in zip(node.ops, operands, operands[1:], strict=False)]
        return joined(list(parts), not negate)

    def comparison(self, operator: ast.cmpop, left_node: ast.expr, right_node: ast.expr, negate: bool) -> Compare:
        op = OPERATORS.get(type(operator))
        if op is None:
            raise Wrong(right_node.col_offset, "expected one of < <= > >= == !=")
        left, right = same_unit(self.value(left_node), self.value(right_node))
        if left.unit != right.unit:
            raise Wrong(left_node.col_offset, f"compares {left.unit} with {right.unit}")
        if left.unit == "flag" and op not in ("EQ", "NE"):
            raise Wrong(left_node.col_offset, "flags are equal or not, never more or less")
        if is_constant(left) and is_constant(right):
            raise Wrong(left_node.col_offset, "compares two constants: it is always true or always false")
        if is_constant(left):
            left, right, left_node, right_node, op = right, left, right_node, left_node, TURNED[op]
        self.number += 1
        place = partial(self.source.at, min(left_node.col_offset, right_node.col_offset) + self.source.start)
        return Compare(NEGATED[op] if negate else op, left, right, self.number - 1, self.source.words(left_node),
                       self.source.words(right_node), place)

    def flag(self, node: ast.expr, negate: bool) -> Compare:
        value = self.value(node)
        if value.unit != "flag":
            raise Wrong(node.col_offset, f"`{self.source.words(node)}` is a {value.unit}, not a condition: compare it")
        if is_constant(value):
            raise Wrong(node.col_offset, "a condition that never changes: it is always true or always false")
        self.number += 1
        place = partial(self.source.at, node.col_offset + self.source.start)
        return Compare("LT" if negate else "GE", value, Constant(1, "flag", True), self.number - 1,
                       self.source.words(node), "true", place)

    # --- values ---

    def value(self, node: ast.expr) -> Value:
        with self.deeper(node):
            if isinstance(node, ast.Constant):
                return self.literal(node)
            if isinstance(node, ast.Name):
                return self.named(node)
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                operand = self.value(node.operand)
                return combined("NEG", operand, None, self.amount(operand, node))
            if isinstance(node, ast.BinOp):
                return self.operation(node)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
                return self.function(node, node.func.id)
            if isinstance(node, ast.Call):
                value = read_use(node, self.names, self.source.literals)
                self.used |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                return value
            if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp):
                raise Wrong(node.col_offset, "a condition stands here, expected a value")
            raise Wrong(node.col_offset, f"{NOT_TAKEN.get(type(node), 'this')} is not part of the language")

    def literal(self, node: ast.Constant) -> Value:
        found = self.source.literals.get(node.col_offset)
        if not isinstance(found, Quantity):
            raise Wrong(node.col_offset, "expected a number with its unit, a parameter or a feature")
        return constant_of(found)

    def named(self, node: ast.Name) -> Value:
        self.used.add(node.id)
        if node.id in ("true", "false"):
            return Constant(int(node.id == "true"), "flag", True)
        if node.id in self.names.params:
            return constant_of(self.names.params[node.id])
        if node.id in self.lets:
            with self.inlined(node) as inner:
                return self.value(inner)
        if node.id in self.names.marks:
            text = f"`{node.id}` is a mark: use times({node.id}, day), age({node.id}) or after={node.id}"
            raise Wrong(node.col_offset, text)
        if node.id in FUNCTIONS:
            raise Wrong(node.col_offset, f"`{node.id}` needs its arguments in parentheses")
        return read_use(node, self.names, self.source.literals)

    def operation(self, node: ast.BinOp) -> Value:
        if isinstance(node.op, ast.Div | ast.FloorDiv):
            raise Wrong(node.col_offset, "there is no division: use ratio(a, b)")
        if not isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
            raise Wrong(node.col_offset, "expected one of + - *")
        left, right = self.value(node.left), self.value(node.right)
        if isinstance(node.op, ast.Mult):
            return self.product(node, left, right)
        left, right = same_unit(left, right)
        is_sum = isinstance(node.op, ast.Add)
        if left.unit != right.unit:
            verb = f"adds {right.unit} to {left.unit}" if is_sum else f"subtracts {right.unit} from {left.unit}"
            raise Wrong(node.col_offset, verb)
        return combined("ADD" if is_sum else "SUB", left, right, self.amount(left, node))

    def product(self, node: ast.BinOp, left: Value, right: Value) -> Value:
        """A share of something, or some times something: keeps the unit of the something."""
        self.amount(left, node)
        self.amount(right, node)
        for op, unit in (("MUL_PPM", "ratio"), ("MUL", "count")):
            if right.unit == unit:
                return combined(op, left, right, left.unit)
        for op, unit in (("MUL_PPM", "ratio"), ("MUL", "count")):
            if left.unit == unit:
                return combined(op, right, left, right.unit)
        raise Wrong(node.col_offset, f"multiplies {left.unit} by {right.unit}: expected a count or a ratio on one side")

    def amount(self, value: Value, node: ast.expr) -> str:
        if value.unit == "flag":
            raise Wrong(node.col_offset, "a flag is no amount")
        return value.unit

    def function(self, node: ast.Call, name: str) -> Value:
        if node.keywords:
            raise Wrong(node.keywords[0].col_offset, f"`{name}` takes no `{node.keywords[0].arg}=`")
        arguments = [self.value(argument) for argument in node.args]
        counts = {"abs": (1, 1), "fixed": (1, 1), "ratio": (2, 2), "min": (2, 16), "max": (2, 16)}[name]
        if not counts[0] <= len(arguments) <= counts[1]:
            raise Wrong(node.col_offset, f"`{name}` of {len(arguments)} arguments, expected {counts[0]}"
                        + (" or more" if counts[1] > 2 else ""))
        if name == "fixed":
            return self.fixed(node, arguments[0])
        for argument in arguments:
            self.amount(argument, node)
        if name == "abs":
            return combined("ABS", arguments[0], None, arguments[0].unit)
        result = arguments[0]
        for argument in arguments[1:]:
            result, other = same_unit(result, argument)
            if result.unit != other.unit:
                raise Wrong(node.col_offset, f"`{name}` of {result.unit} and {other.unit}: expected one unit")
            result = self.pair(node, name, result, other)
        return result

    def pair(self, node: ast.Call, name: str, left: Value, right: Value) -> Value:
        if name != "ratio":
            return combined(name.upper(), left, right, left.unit)
        if isinstance(right, Constant) and right.value == 0:
            raise Wrong(node.args[1].col_offset, "divides by zero")
        return combined("RATIO", left, right, "ratio")

    def fixed(self, node: ast.Call, value: Value) -> Value:
        if not isinstance(value, Constant):
            raise Wrong(node.col_offset, "`fixed` keeps a constant from being scaled, and this is none")
        return replace(value, fixed=True)

    # --- bounds of the reading itself ---

    @contextmanager
    def inlined(self, node: ast.Name) -> Iterator[ast.expr]:
        """The expression a `let` name stands for."""
        if node.id in self.inside:
            raise Wrong(node.col_offset, f"`let` {' -> '.join([*self.inside, node.id])} goes in a circle")
        self.used.add(node.id)
        self.inside.append(node.id)
        try:
            with self.reading(*self.lets[node.id]) as inner:
                yield inner
        finally:
            self.inside.pop()

    @contextmanager
    def deeper(self, node: ast.expr) -> Iterator[None]:
        self.parts += 1
        self.depth += 1
        try:
            if self.depth > MOST_DEPTH or self.parts > MOST_PARTS:
                raise Wrong(node.col_offset, "the expression is too deep or too large")
            yield
        finally:
            self.depth -= 1


def joined(parts: list[Condition], is_and: bool) -> Condition:
    """One condition of several; what is nested in its own kind becomes flat."""
    kind = And if is_and else Or
    flat: list[Condition] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else [part]
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def same_unit(left: Value, right: Value) -> tuple[Value, Value]:
    """A bare 0 takes the unit of what it meets: nothing is nothing in every unit."""
    if isinstance(left, Constant) and left.unit == "count" and left.value == 0:
        left = replace(left, unit=right.unit)
    if isinstance(right, Constant) and right.unit == "count" and right.value == 0:
        right = replace(right, unit=left.unit)
    return left, right


def parsed(source: Source) -> ast.expr:
    """Python's tree of the folded text. Raises Wrong where it cannot be read."""
    if not source.folded:
        raise Wrong(0, "an empty expression")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(source.folded, mode="eval").body
    except SyntaxError as error:
        text = SYNTAX.get(error.msg, error.msg.split(".")[0].replace("invalid syntax", "cannot be read from here on"))
        raise Wrong(error.offset - 1 if error.offset and error.lineno == 1 else len(source.folded), text) from None
    except (RecursionError, MemoryError, ValueError):
        raise Wrong(0, "the expression is too deep or too large") from None
