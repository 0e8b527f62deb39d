"""The one table of features a rule may use: name, unit, arguments, meaning; and what of program.pxd each one is.

It computes nothing: ext/windows and ext/instants do.
"""

from dataclasses import dataclass

from ext.program_codes import EVENTS, FILTERS, INSTANTS

ORDER_FILTERS = ("aggressive", "passive", "at_limit", "best5", "beyond", "after")
FILL_FILTERS = ("aggressive", "passive", "at_limit", "beyond", "after", "self")
FLAGS = ("aggressive", "passive", "at_limit", "best5", "self")
SIDES = ("buy", "sell", "same", "opposite")

# Whose row a feature is kept for, and so which `per=` it takes.
ROW = "row"  # any key, the rule's by default
MARKET = "market"  # instrument or venue, by the rule's key
INSTRUMENT = "instrument"  # the instrument, or the one that security= names
OWN = "own"  # account or controller in the instrument
SENT = "sent"  # the account at the exchange
EVENT = "event"  # the event itself
MARK_ROW = "mark"  # the row of the mark


@dataclass(frozen=True)
class Feature:
    """One feature. `needs` are the positional arguments: "mark", "window"; `takes` the keywords and bare flags."""

    name: str
    unit: str
    kind: str
    row: str
    meaning: str
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    amount: str = "one"
    counts: tuple[str, ...] = ()  # events
    filters: tuple[str, ...] = ()  # always set
    clip: int = 0  # 1: at least 0; -1: turned round, at least 0
    least: int | None = 0  # smallest value there can be, None: no bound
    most: int | None = None

    @property
    def events(self) -> int:
        return sum(1 << EVENTS[event] for event in self.counts)

    @property
    def filter_bits(self) -> int:
        return sum(FILTERS[name] for name in self.filters)

    @property
    def instant(self) -> int:
        return int(INSTANTS.get(self.name, 0))

    @property
    def signature(self) -> str:
        """As an officer writes it: `fills(window, side=, per=, aggressive, ...)`."""
        takes = [name if name in FLAGS else f"{name}=" for name in self.takes]
        arguments = ", ".join([*(need if need == "window" else need.upper() for need in self.needs), *takes])
        return f"{self.name}({arguments})" if arguments else self.name


def counted(stem: str, what: str, events: tuple[str, ...], filters: tuple[str, ...]) -> list[Feature]:
    """The three features of one kind of event: how many, their shares, their yuan."""
    takes = ("side", "per", *filters)
    return [
        Feature(f"{stem}s", "count", "sum", ROW, f"how many {what}", ("window",), takes, "one", events),
        Feature(f"{stem}_shares", "shares", "sum", ROW, f"shares of {what}", ("window",), takes, "shares", events),
        Feature(f"{stem}_yuan", "yuan", "sum", ROW, f"price x shares of {what}", ("window",), takes, "yuan", events),
    ]


def tally(name: str, meaning: str, events: tuple[str, ...], filters: tuple[str, ...] = ()) -> Feature:
    return Feature(name, "count", "sum", ROW, meaning, ("window",), ("side", "per", *filters), "one", events)


def largest(name: str, unit: str, meaning: str) -> Feature:
    return Feature(name, unit, "max", ROW, meaning, ("window",), ("side", "per"), unit, ("order",))


def of_market(name: str, unit: str, meaning: str) -> Feature:
    return Feature(name, unit, "sum", MARKET, meaning, ("window",), ("per", "security"), unit, (), ("market",))


def of_quotes(name: str, unit: str, kind: str, meaning: str, clip: int = 0) -> Feature:
    least = None if kind == "move" and not clip else 0
    return Feature(name, unit, kind, INSTRUMENT, meaning, ("window",), ("security",), clip=clip, least=least)


def this(name: str, unit: str, meaning: str, least: int | None = 0) -> Feature:
    return Feature(name, unit, "instant", EVENT, meaning, least=least, most=1 if unit == "flag" else None)


def own(name: str, unit: str, meaning: str, *takes: str) -> Feature:
    return Feature(name, unit, "instant", OWN, meaning, (), (*takes, "per"))


def quoted(name: str, unit: str, meaning: str, *takes: str, least: int | None = 0) -> Feature:
    most = 1 if unit == "flag" else None
    return Feature(name, unit, "instant", INSTRUMENT, meaning, (), (*takes, "security"), least=least, most=most)


TABLE: tuple[Feature, ...] = (
    *counted("order", "orders accepted, the judged one included", ("order",), ORDER_FILTERS),
    *counted("cancel", "rests that left the book by request", ("canceled",), (*ORDER_FILTERS, "within")),
    tally("cancel_requests", "cancels sent to the exchange", ("cancel",), ("at_limit", "best5", "within")),
    tally("messages", "orders and cancels sent", ("order", "cancel")),
    *counted("fill", "trades", ("fill",), FILL_FILTERS),
    tally("rejects", "orders we refused", ("reject",)),
    largest("largest_order_shares", "shares", "shares of the largest order"),
    largest("largest_order_yuan", "yuan", "amount of the largest order"),
    of_market("market_shares", "shares", "the market's volume, from recorded quotes"),
    of_market("market_yuan", "yuan", "the market's turnover, from recorded quotes"),
    of_quotes("move", "ratio", "move", "last price against one window ago, signed"),
    of_quotes("rise", "ratio", "move", "how far the price rose in one window, 0 when it fell", 1),
    of_quotes("fall", "ratio", "move", "how far the price fell in one window, 0 when it rose", -1),
    of_quotes("high", "price", "high", "highest recorded price"),
    of_quotes("low", "price", "low", "lowest recorded price"),
    Feature("times", "count", "sum", ROW, "how often a mark was set", ("mark", "window"), ("side", "per"), "one",
            ("mark",)),
    Feature("age", "time", "age", MARK_ROW, "time since a mark was set; undefined when never", ("mark",), ("side",)),
    this("this_shares", "shares", "shares of the order, trade or canceled rest that is judged"),
    this("this_yuan", "yuan", "its amount"),
    this("this_price", "price", "its price"),
    this("this_deviation", "ratio", "its order's price against the previous close, signed", None),
    this("this_age", "time", "time since its order was accepted"),
    this("this_aggressive", "flag", "its order reached the opposite best price when accepted"),
    this("this_at_limit", "flag", "its order is priced at the limit its side pushes to (buy: up, sell: down)"),
    this("this_in_best5", "flag", "its order is priced within its side's five best levels, or better"),
    this("this_market_type", "flag", "its order is of a market type"),
    own("open_shares", "shares", "own shares open in the book", "side"),
    own("open_orders", "count", "own orders open in the book"),
    own("own_best5_shares", "shares", "own open shares within the five best levels, or better", "side"),
    own("own_limit_shares", "shares", "own open shares at the limit price", "side"),
    own("own_levels", "count", "different prices of own open orders", "side"),
    own("position_shares", "shares", "shares held"),
    own("bought_today_shares", "shares", "shares bought today"),
    quoted("best5_shares", "shares", "the market's shares in the five best levels", "side"),
    quoted("limit_shares", "shares", "the market's shares at the limit price, 0 when none", "side"),
    quoted("last_price", "price", "last price"),
    quoted("prev_close", "price", "previous close"),
    quoted("deviation", "ratio", "last price (in a call the indicative one) against the previous close",
           least=None),
    quoted("is_at_limit", "flag", "the last price is at the side's limit", "side"),
    quoted("spread", "ratio", "best ask less best bid, against the bid", least=None),
    Feature("time_of_day", "time", "instant", EVENT, "time since midnight in Shanghai", most=24 * 3600 * 10**9),
    Feature("phase_age", "time", "instant", EVENT, "time since the trading phase began"),
    Feature("sent_per_s", "count", "instant", SENT, "the account's orders and cancels sent to the exchange, 1 s"),
    Feature("sent_today", "count", "instant", SENT, "the account's orders and cancels sent to the exchange today"),
)
FEATURES: dict[str, Feature] = {feature.name: feature for feature in TABLE}
MEASURED_NOW = {"time_of_day", "phase_age"}  # of the clock: read at quotes too
