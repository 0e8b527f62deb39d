"""A small desk for rules written out by hand: one rule file, orders in short words, and what was recorded for each."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests import rule_worlds as w
from tests.model_day import Behaviour
from tests.model_rules import Hit, MarkSet, RuleModel, Verdict
from tests.model_state import BUY, SELL
from tests.rule_play import play

STOCK = (1, "600001")
OTHER = (1, "600002")
SZ_STOCK = (2, "000002")
TEN = 100_000
SECOND, MS = 10**9, 10**6
HEAD = """schema: 1
sets: {makers: {tags: [market_maker]}}
rules:
"""


def rule(when: str, on: str = "order", per: str = "account", name: str = "T01", **more: str) -> str:
    """One rule's entry; more: further keys as YAML text (cool_off is `0 s` unless given)."""
    entry = {
        "version": "1",
        "name": "a test",
        "source": "{doc: model, clause: none, basis: ours}",
        "per": per,
        "on": f"[{on}]",
        "when": f'"{when}"',
        "breach": "L1",
        "cool_off": "1 ms",
    } | {key.removesuffix("_"): text for key, text in more.items()}
    return f"- id: {name}\n" + "".join(f"  {key}: {text}\n" for key, text in entry.items())


def rule_file(*rules: str) -> str:
    return HEAD + "".join(rules)


@dataclass
class RuleDesk:
    """The model under one rule file; the clock moves when told."""

    rules: str
    wrong: Behaviour | None = None
    now_ns: int = w.START_NS
    count: int = 0
    out: list[Hit | MarkSet] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = RuleModel(w.accounts(), w.instruments(), lambda account: 0, self.wrong)
        self.model.put_in_force([self.rules], self.now_ns)
        for venue in (1, 2):
            self.act(w.PhaseChange(self.now_ns, venue, w.CONTINUOUS))

    def act(self, action: w.Action) -> Verdict:
        verdict = play(self.model, action)
        self.out = list(self.model.out)
        return verdict

    def wait(self, ns: int) -> None:
        self.now_ns += ns

    def order(
        self, side: int = BUY, shares: int = 100, price: int = TEN, account: str = "A1", key: tuple[int, str] = STOCK
    ) -> Verdict:
        self.count += 1
        return self.act(w.Submit(self.now_ns, f"o{self.count}", account, key, side, price, shares))

    def buy(self, shares: int = 100, price: int = TEN, account: str = "A1", key: tuple[int, str] = STOCK) -> Verdict:
        return self.order(BUY, shares, price, account, key)

    def sell(self, shares: int = 100, price: int = TEN, account: str = "A1", key: tuple[int, str] = STOCK) -> Verdict:
        return self.order(SELL, shares, price, account, key)

    def cancel(self, name: str) -> Verdict:
        return self.act(w.CancelRequest(self.now_ns, name))

    def canceled(self, name: str) -> None:
        self.act(w.Canceled(self.now_ns, name))

    def fill(self, name: str, shares: int, price: int = TEN, exec_id: str = "X") -> None:
        self.act(w.Fill(self.now_ns, name, shares, price, exec_id))

    def quote(
        self, last: int = TEN, volume: int = 0, key: tuple[int, str] = STOCK, levels: int = 5, shares: int = 1_000
    ) -> None:
        bids = tuple((last - 100 * (n + 1), shares) for n in range(levels))
        asks = tuple((last + 100 * (n + 1), shares) for n in range(levels))
        self.act(w.MarketQuote(self.now_ns, key, bids, asks, last, volume, volume * last))

    @property
    def hits(self) -> list[tuple[str, int]]:
        """(rule, stage) of the hits of the last action."""
        return [(o.rule, o.stage) for o in self.out if isinstance(o, Hit)]

    @property
    def value(self) -> object:
        """The first factor's value of the last action's first hit."""
        found = [o for o in self.out if isinstance(o, Hit)]
        return found[0].factors[0][0] if found else None


def desk(when: str, on: str = "order", per: str = "account", wrong: Behaviour | None = None, **more: str) -> RuleDesk:
    return RuleDesk(rule_file(rule(when, on, per, **more)), wrong)
