"""Reads one use of a feature, `fills(3 min, side=same)`: arguments, whose row, filters. Knows no comparison."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ext.codes import VENUES
from ext.program_codes import FILTERS, KEYS, WINDOWS
from risk_rules.features import (
    EVENT,
    FEATURES,
    FLAGS,
    INSTRUMENT,
    MARK_ROW,
    MARKET,
    MEASURED_NOW,
    OWN,
    SENT,
    SIDES,
    Feature,
)
from risk_rules.trees import Arithmetic, Constant, Load, Use, Value
from risk_rules.units import Quantity, shown

LEAST_WINDOW_NS = 100_000_000
MOST_WINDOW_NS = 1_800_000_000_000
PER = tuple(name for name in KEYS if name != "fixed")
BUY, SELL = 1, 2
VENUE_NAMES = {code: name for name, code in VENUES.items()}
FUNCTIONS = ("abs", "min", "max", "ratio", "fixed")


class Wrong(Exception):
    """A fault in an expression, at a column of its text."""

    def __init__(self, column: int, message: str, meant: str = "", names: Collection[str] = ()) -> None:
        super().__init__(message)
        self.column = column
        self.message = message
        self.meant = meant
        self.names = tuple(names)


@dataclass(frozen=True)
class Security:
    symbol: int
    venue: int


def security_of(text: str) -> Security:
    """600519.XSHG; the caller has matched the shape."""
    return Security(int(text[:6]), VENUES[text[7:]])


@dataclass
class Names:
    """What an expression may name, besides features: parameters, marks (name: full name, key); and the rule's key."""

    key: str
    events: Collection[str] = ()
    params: Mapping[str, Quantity] = field(default_factory=dict)
    marks: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def all(self) -> tuple[str, ...]:
        return (*FEATURES, *FUNCTIONS, *self.params, *self.marks)


@dataclass
class Call:
    """One use of a feature while its arguments are read."""

    feature: Feature
    node: ast.expr
    window: str = ""
    window_ns: int = 0
    filters: int = 0
    beyond_ppm: int = 0
    within_ns: int = 0
    side: str = ""
    per: str = ""
    mark: tuple[str, str] = ("", "")
    security: Security | None = None
    words: list[str] = field(default_factory=list)


Literals = Mapping[int, Quantity | Security | str]


def read_use(node: ast.Call | ast.Name, names: Names, literals: Literals) -> Value:
    """The value of a feature's name or call. Raises Wrong."""
    called = node.func if isinstance(node, ast.Call) else node
    if not isinstance(called, ast.Name):
        raise Wrong(called.col_offset, "only features and functions are called")
    feature = FEATURES.get(called.id)
    if feature is None:
        raise Wrong(called.col_offset, f"unknown feature `{called.id}`", called.id, names.all())
    if feature.row == EVENT and "quote" in names.events and feature.name not in MEASURED_NOW:
        text = f"`{feature.name}` is of an order, trade or cancel, and this is also judged `on` quotes"
        raise Wrong(called.col_offset, text)
    call = Call(feature, node)
    arguments = Arguments(call, names, literals)
    positional = list(node.args) if isinstance(node, ast.Call) else []
    arguments.read_needs(positional)
    for argument in positional:
        arguments.read_flag(argument)
    for keyword in node.keywords if isinstance(node, ast.Call) else []:
        arguments.read_keyword(keyword)
    return value_of(call, names)


@dataclass
class Arguments:
    """Reads the arguments of one call into it."""

    call: Call
    names: Names
    literals: Literals

    def read_needs(self, positional: list[ast.expr]) -> None:
        """Takes the arguments that must be there off the front."""
        for need in self.call.feature.needs:
            argument = positional.pop(0) if positional else None
            if need == "mark":
                self.call.mark = self.mark_of(argument)
            else:
                self.read_window(argument)

    def read_window(self, argument: ast.expr | None) -> None:
        name = self.call.feature.name
        if argument is None:
            raise Wrong(self.call.node.col_offset, f"`{name}` has no window: expected 100 ms to 30 min, phase or day")
        if isinstance(argument, ast.Name) and argument.id in WINDOWS:
            self.call.window, self.call.window_ns = argument.id, WINDOWS[argument.id]
            return
        window = self.quantity(argument, "time", f"the window of `{name}`, 100 ms to 30 min, phase or day")
        if not LEAST_WINDOW_NS <= window <= MOST_WINDOW_NS:
            text = f"the window of `{name}` is {shown(window, 'time')}: expected 100 ms to 30 min, phase or day"
            raise Wrong(argument.col_offset, text)
        self.call.window, self.call.window_ns = shown(window, "time"), window

    def quantity(self, argument: ast.expr, unit: str, what: str) -> int:
        """A literal or a parameter of this unit."""
        found = self.literals.get(argument.col_offset) if isinstance(argument, ast.Constant) else None
        if isinstance(argument, ast.Name):
            found = self.names.params.get(argument.id)
            if found is None:
                choices = (*WINDOWS, *self.names.params) if unit == "time" else tuple(self.names.params)
                raise Wrong(argument.col_offset, f"unknown name `{argument.id}` for {what}", argument.id, choices)
        if not isinstance(found, Quantity):
            raise Wrong(argument.col_offset, f"expected {what}")
        if found.unit != unit:
            got = f"{shown(found.value, found.unit)}, a {found.unit}"
            raise Wrong(argument.col_offset, f"{what}: got {got}, expected a {unit}")
        return found.value

    def mark_of(self, argument: ast.expr | None) -> tuple[str, str]:
        at = self.call.node if argument is None else argument
        if not isinstance(argument, ast.Name):
            raise Wrong(at.col_offset, f"`{self.call.feature.name}` needs the name of a mark")
        if argument.id not in self.names.marks:
            text = f"unknown mark `{argument.id}`"
            raise Wrong(at.col_offset, text if self.names.marks else f"{text}: the rule has none before here",
                        argument.id, tuple(self.names.marks))
        return self.names.marks[argument.id]

    def read_flag(self, argument: ast.expr) -> None:
        name = self.call.feature.name
        if not isinstance(argument, ast.Name):
            raise Wrong(argument.col_offset, f"one argument too many for `{self.call.feature.signature}`")
        flags = [flag for flag in self.call.feature.takes if flag in FLAGS]
        if argument.id not in flags:
            raise Wrong(argument.col_offset, f"`{name}` takes no `{argument.id}`, only `{self.call.feature.signature}`",
                        argument.id, flags)
        self.set_filter(argument.id, argument)

    def set_filter(self, name: str, at: ast.expr) -> None:
        bit = FILTERS[name]
        if self.call.filters & bit:
            raise Wrong(at.col_offset, f"`{name}` twice")
        self.call.filters |= bit
        if self.call.filters & FILTERS["aggressive"] and self.call.filters & FILTERS["passive"]:
            raise Wrong(at.col_offset, "no order is both aggressive and passive")
        if name in FLAGS:
            self.call.words.append(name)

    def read_keyword(self, keyword: ast.keyword) -> None:
        name, value = keyword.arg, keyword.value
        if name is None or name not in self.call.feature.takes:
            text = f"`{self.call.feature.name}` takes no `{name or '**'}=`, only `{self.call.feature.signature}`"
            raise Wrong(keyword.col_offset, text, name or "", self.call.feature.takes)
        if name in FLAGS:
            if not isinstance(value, ast.Name) or value.id != "true":
                raise Wrong(value.col_offset, f"expected `{name}`, or `{name}=true`; leave it out to count all")
            self.set_filter(name, value)
            return
        readers = {"side": self.read_side, "per": self.read_per, "security": self.read_security,
                   "after": self.read_after, "beyond": self.read_beyond, "within": self.read_within}
        readers[name](value)

    def read_side(self, value: ast.expr) -> None:
        self.call.side = self.choice(value, "side", SIDES)

    def read_per(self, value: ast.expr) -> None:
        folded = self.literals.get(value.col_offset) if isinstance(value, ast.Constant) else None
        self.call.per = folded if isinstance(folded, str) else self.choice(value, "per", PER)

    def choice(self, value: ast.expr, name: str, choices: tuple[str, ...]) -> str:
        if not isinstance(value, ast.Name) or value.id not in choices:
            got = f"`{value.id}`" if isinstance(value, ast.Name) else "something else"
            meant = value.id if isinstance(value, ast.Name) else ""
            raise Wrong(value.col_offset, f"{name}: got {got}, expected one of {', '.join(choices)}", meant, choices)
        return value.id

    def read_security(self, value: ast.expr) -> None:
        found = self.literals.get(value.col_offset) if isinstance(value, ast.Constant) else None
        if not isinstance(found, Security):
            raise Wrong(value.col_offset, "security: expected one like 600519.XSHG")
        self.call.security = found

    def read_after(self, value: ast.expr) -> None:
        self.call.mark = self.mark_of(value)
        self.set_filter("after", value)
        self.call.words.append(f"after={ast.unparse(value)}")

    def read_beyond(self, value: ast.expr) -> None:
        self.call.beyond_ppm = self.positive(value, "ratio", "beyond, a share like 5%")
        self.set_filter("beyond", value)
        self.call.words.append(f"beyond={shown(self.call.beyond_ppm, 'ratio')}")

    def read_within(self, value: ast.expr) -> None:
        self.call.within_ns = self.positive(value, "time", "within, a time like 1 s")
        self.set_filter("within", value)
        self.call.words.append(f"within={shown(self.call.within_ns, 'time')}")

    def positive(self, value: ast.expr, unit: str, what: str) -> int:
        number = self.quantity(value, unit, what)
        if number <= 0:
            raise Wrong(value.col_offset, f"{what}: got 0, expected more")
        return number


# --- the finished use ---


def value_of(call: Call, names: Names) -> Value:
    feature = call.feature
    key = key_of(call, names)
    relative = call.side in ("same", "opposite")
    buy = {"buy": BUY, "sell": SELL, "same": BUY, "opposite": SELL}.get(call.side, 0)
    uses = [use_of(call, key, side) for side in ((buy, BUY + SELL - buy) if relative else (buy, buy))]
    load = Load(uses[0], uses[1], feature.least if not feature.clip else None, feature.most)
    if not feature.clip:
        return load
    signed: Value = load if feature.clip > 0 else Arithmetic("NEG", load, None, feature.unit)
    return Arithmetic("MAX", signed, Constant(0, feature.unit, True), feature.unit)


def key_of(call: Call, names: Names) -> str:
    """Whose row the feature is read from."""
    row, per = call.feature.row, call.per or names.key
    if row == EVENT:
        return "firm"
    if row == SENT:
        return "account x venue"
    if row == MARK_ROW:
        return call.mark[1]
    if row in (MARKET, INSTRUMENT):
        return key_in_market(call, per)
    if row == OWN:
        whose = per.split(" ")[0]
        if whose not in ("account", "controller"):
            raise Wrong(call.node.col_offset, f"`{call.feature.name}` of whom? say per=account or per=controller")
        return f"{whose} x instrument"
    return per


def key_in_market(call: Call, per: str) -> str:
    if call.security is not None:
        if call.per:
            raise Wrong(call.node.col_offset, "either security= or per=, not both")
        return "fixed"
    if call.per and call.per not in ("instrument", "venue"):
        text = f"`{call.feature.name}` is of the market: expected per=instrument or per=venue"
        raise Wrong(call.node.col_offset, text)
    return "venue" if call.feature.row == MARKET and per.endswith("venue") else "instrument"


def use_of(call: Call, key: str, side: int) -> Use:
    feature, security = call.feature, call.security
    sides = ["", "side=buy", "side=sell"][side]
    fixed = f"security={security.symbol:06}.{VENUE_NAMES[security.venue]}" if security else ""
    per = f"per={key}" if "per" in feature.takes else ""
    mark = call.mark[0].rpartition(".")[2] if "mark" in feature.needs else ""
    arguments = ", ".join(word for word in (mark, call.window, sides, *call.words, per, fixed) if word)
    return Use(
        kind=feature.kind, unit=feature.unit, key=key,
        text=f"{feature.name}({arguments})" if arguments else feature.name,
        amount=feature.amount, events=feature.events, window_ns=call.window_ns,
        filters=call.filters | feature.filter_bits, beyond_ppm=call.beyond_ppm, within_ns=call.within_ns, side=side,
        venue=security.venue if security else 0, symbol=security.symbol if security else 0, mark=call.mark[0],
        instant=feature.instant)
