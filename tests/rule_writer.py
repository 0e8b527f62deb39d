"""Random but valid rule files, over all features, windows, keys, filters, scopes and marks."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

WINDOWS = ("1 s", "1 s", "2 s", "5 s", "250 ms", "1 min", "day", "day", "phase")


@dataclass
class RuleWriter:
    """Random rules, each valid at the events it is for."""

    rng: random.Random
    on: list[str] = field(default_factory=list)
    per: str = ""
    marks: dict[str, str] = field(default_factory=dict)  # name -> its key
    used: set[str] = field(default_factory=set)

    def file(self, most: int = 12) -> str:
        lines = [
            "schema: 1",
            "sets:",
            "  makers: {tags: [market_maker]}",
            '  listed: {accounts: [A1, "LT*"], groups: [fund]}',
            "  kin: {groups: [fund]}",
            "securities: {leaders: [688001.XSHG, 600001.XSHG]}",
            "params: {some: 5_000 shares, much: 20万 yuan}",
            "rules:",
        ]
        for number in range(1, self.rng.randint(4, most) + 1):
            lines += self.rule(f"T{number:02d}")
        return "\n".join(lines) + "\n"

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    def rule(self, name: str) -> list[str]:
        self.marks, self.used = {}, set()
        self.on = [self.pick("order", "order", "order", "cancel", "fill", "canceled", "quote", "quote")]
        if self.maybe(0.25):
            self.on = sorted({self.on[0], self.pick("order", "fill", "canceled", "cancel")})
        self.per = self.pick(
            "account",
            "controller",
            "account x instrument",
            "controller x instrument",
            "controller x instrument",
            "account x venue",
            "controller x venue",
            "instrument",
            "venue",
            "firm",
        )
        if "quote" in self.on:
            self.per = self.pick("controller x instrument", "controller x instrument", "controller")
        lines = [
            f"- id: {name}",
            "  version: 1",
            f"  name: random {name}",
            "  source: {doc: model, clause: none, basis: ours}",
            f"  mode: {self.pick('enforce', 'enforce', 'enforce', 'enforce', 'shadow', 'canary(50%)')}",
            f"  per: {self.per}",
            f"  on: [{', '.join(self.on)}]",
            *self.scope(),
        ]
        lines += self.marks_of()
        condition, breach = self.condition(), self.breach()
        if breach != "L0" and self.per.startswith(("account", "controller")) and self.maybe(0.2):
            breach = f"{{level: L1, block: {'true' if 'block' in breach else 'false'}, mask: [no_buy]}}"
        lines.append(f'  when: "{condition}"')
        if self.on == ["quote"] and self.per == "controller x instrument" and self.maybe(0.6):
            lines.append(f"  for: {self.pick('1 s', '3 s', '20 s')}")
        if self.maybe(0.5) and re.search(r">=? (some|much|[2-9]|\d\d)", condition) and "not (" not in condition:
            lines += ["  warn_at: 60%", f"  warn: {'L0' if breach == 'L0' else 'L1'}"]
        lines.append(f"  breach: {breach}")
        lines += [f"  cool_off: {self.pick('1 s', '10 s', '250 ms')}"] if self.maybe(0.8) else []
        if "mask" in breach:
            within = self.pick("5 s", "1 min", "day")
            lines.append(f"  escalate: {{hits: {self.pick('2', '3')}, within: {within}, to: L4}}")
        if self.maybe(0.25):
            lines.append('  exempt: [{account: A1, until: 2030-12-31, reason: "agreed"}]')
        return lines

    def breach(self) -> str:
        if self.on[0] not in ("order", "cancel") or self.maybe(0.4):
            return self.pick("L0", "L1")
        return self.pick("block", "block", "{level: L1, block: true, sells: true}")

    def scope(self) -> list[str]:
        parts = []
        by_account = "quote" not in self.on
        if by_account and self.maybe(0.25):
            parts.append(
                self.pick('accounts: ["@makers", A1]', 'accounts: ["@listed"]', 'accounts: [C1, "LT*", B1, A2]')
            )
        if by_account and self.maybe(0.15):
            parts.append(self.pick('except: ["@makers"]', "except: [A1]", 'except: ["@kin"]'))
        if self.maybe(0.15):
            parts.append(
                self.pick(
                    "venues: [XSHG]",
                    "boards: [MAIN]",
                    "boards: [STAR, CHINEXT]",
                    "st: only",
                    "st: none",
                    'securities: ["@leaders"]',
                    "securities: [600001.XSHG, 000002.XSHE]",
                )
            )
        if self.maybe(0.2):
            parts.append(self.pick("phases: [CONTINUOUS]", "phases: [OPEN_CALL, CONTINUOUS]", "phases: [CLOSE_CALL]"))
        if self.maybe(0.1) and "phases" not in str(parts):
            parts.append('time: "09:30-09:34"')
        if self.maybe(0.15):
            parts.append(self.pick("sides: [buy]", "sides: [sell]"))
        return [f"  scope: {{{', '.join(parts)}}}"] if parts else []

    def marks_of(self) -> list[str]:
        if "quote" in self.on or not self.maybe(0.5):
            return []
        lines = ["  marks:"]
        for name in ("big", "odd")[: self.rng.randint(1, 2)]:
            on = self.pick("order", "order", "fill", "canceled")
            key = self.pick(self.per, "controller x instrument", "account x instrument")
            saved, self.on = self.on, [on]
            parts = [f"on: [{on}]", f'when: "{self.comparison()}"']
            self.on = saved
            parts += [f"gap: {self.pick('0 s', '1 s', '250 ms')}"] if self.maybe(0.6) else []
            parts += [f"per: {key}"] if key != self.per else []
            lines.append(f"    {name}: {{{', '.join(parts)}}}")
            self.marks[name] = key
        return lines

    # Conditions

    def condition(self) -> str:
        self.used = {"orders(day)"}
        shape = self.rng.random()
        if shape < 0.4:
            return self.comparison()
        if shape < 0.65:
            return f"{self.comparison()} and {self.comparison()}"
        if shape < 0.8:
            return f"{self.comparison()} or {self.comparison()}"
        if shape < 0.9:
            return f"not ({self.comparison()} and {self.comparison()}) and {self.busy()}"
        return f"({self.comparison()} or {self.comparison()}) and {self.busy()}"

    def busy(self) -> str:
        return f"orders(day) > {self.rng.randint(1, 3)}"

    def comparison(self) -> str:
        """One that does not contradict another of the rule: each is of something else."""
        while True:
            found = self.one_comparison()
            left = re.split(r" (?:>=?|<=?) ", found)[0].removeprefix("not ")
            if left not in self.used:
                self.used.add(left)
                return found

    def one_comparison(self) -> str:
        kinds = [self.counts, self.shares, self.yuan, self.shares_of, self.market, self.own]
        kinds += [self.of_this] if "quote" not in self.on else []
        kinds += [self.of_marks] * 4 if self.marks else []
        return self.rng.choice(kinds)()

    def op(self, limit: str) -> str:
        return f"{self.pick('>', '>', '>=')} {limit}"

    def window(self) -> str:
        return self.pick(*WINDOWS)

    def arguments(self, *filters: str) -> str:
        parts = [self.window()]
        if filters and self.maybe(0.4):
            parts.append(self.pick(*filters))
        if self.maybe(0.5):
            parts.append(f"side={self.pick('buy', 'sell', 'same', 'opposite')}")
        if self.maybe(0.2):
            keys = (
                "account",
                "controller",
                "account x instrument",
                "controller x instrument",
                "instrument",
                "venue",
                "firm",
            )
            key = self.pick(*(keys if "quote" not in self.on else keys[1::2] + keys[4:]))
            parts.append(f"per={key}")
        return ", ".join(parts)

    def order_filters(self) -> tuple[str, ...]:
        after = tuple(f"after={name}" for name in self.marks)
        return "aggressive", "passive", "at_limit", "best5", "beyond=1%", "beyond=3%", *after

    def counts(self) -> str:
        limit = str(self.rng.randint(1, 8))
        name = self.pick("orders", "cancels", "fills", "messages", "cancel_requests", "rejects")
        filters = {
            "orders": self.order_filters(),
            "cancels": ("within=1 s", "at_limit", "best5", "within=5 s"),
            "fills": ("aggressive", "passive", "at_limit", "self"),
            "cancel_requests": ("at_limit", "best5", "within=1 s"),
            "messages": (),
            "rejects": (),
        }[name]
        return f"{name}({self.arguments(*filters)}) {self.op(limit)}"

    def shares(self) -> str:
        name = self.pick("order_shares", "cancel_shares", "fill_shares", "largest_order_shares")
        limit = self.pick("3_000 shares", "1万 shares", "800 shares", "some", "fixed(2_000 shares)", "5_000股")
        filters = () if name.startswith("largest") else ("aggressive", "passive", "at_limit")
        return f"{name}({self.arguments(*filters)}) {self.op(limit)}"

    def yuan(self) -> str:
        name = self.pick("order_yuan", "cancel_yuan", "fill_yuan", "largest_order_yuan")
        limit = self.pick("5万 yuan", "much", "12_345.67 yuan", "10万元")
        return f"{name}({self.arguments()}) {self.op(limit)}"

    def shares_of(self) -> str:
        part, whole = self.pick(
            "cancels:orders", "fill_shares:order_shares", "cancel_yuan:order_yuan", "fill_shares:market_shares"
        ).split(":")
        window, side = self.window(), self.pick("", ", side=same", ", side=buy")
        other = "" if whole.startswith("market") else side
        limit = self.op(self.pick("50%", "20%", "1234 bps", "777 ppm"))
        return f"ratio({part}({window}{side}), {whole}({window}{other})) {limit}"

    def market(self) -> str:
        window = self.window()
        index = self.pick("", "", ", security=000001.XSHG")
        return self.pick(
            f"rise({window}{index}) > {self.pick('10 bps', '0.5%')}",
            f"fall({window}{index}) >= 20 bps",
            f"abs(move({window}{index})) > 15 bps",
            f"move({window}{index}) < 5 bps",
            f"high({window}) - low({window}) > 0.05 yuan/share",
            f"market_shares({window}{index}) > 3万 shares",
            f"market_yuan({window}) > 40万 yuan",
            "spread > 10 bps",
            "abs(deviation) > 50 bps",
            "last_price > 12.50 yuan/share",
            "limit_shares(side=same) > 500 shares",
            "is_at_limit(side=buy)",
            "phase_age > 2 s",
            "time_of_day > 9 h",
        )

    def own(self) -> str:
        if not self.per.startswith(("account", "controller")):
            return self.counts()
        side = self.pick("same", "opposite", "buy", "sell")
        return self.pick(
            f"open_shares(side={side}) > 2_000 shares",
            f"open_orders > {self.rng.randint(1, 4)}",
            f"own_best5_shares(side={side}) > 1_500 shares",
            f"own_limit_shares(side={side}) > 500 shares",
            f"own_levels(side={side}) >= {self.rng.randint(2, 3)}",
            f"ratio(own_best5_shares(side={side}), best5_shares(side={side})) > 10%",
        )

    def of_this(self) -> str:
        choices = ["this_shares >= 1_000 shares", "this_yuan > 3万 yuan", "this_price > 11 yuan/share"]
        if self.on[0] in ("order", "cancel"):
            choices += [
                "this_aggressive",
                "not this_aggressive",
                "this_in_best5",
                "this_at_limit",
                "abs(this_deviation) > 30 bps",
                "max(this_deviation, 0 ppm) > 20 bps",
            ]
        if self.on[0] == "order" and self.per.startswith("account"):
            choices += ["sent_per_s > 3", "sent_today > 6"]
        if self.on[0] in ("cancel", "canceled"):
            choices += ["this_age < 1 s", "this_age >= 2 s"] if "order" not in self.on else []
        return self.pick(*choices)

    def of_marks(self) -> str:
        name = self.pick(*self.marks)
        side = self.pick("", ", side=same", ", side=opposite")
        roll = self.rng.random()
        if roll < 0.3:
            feature = self.pick("orders", "fills", "order_shares", "cancels", "fill_shares")
            window = self.pick("1 s", "5 s", "1 min", "day", "phase")
            return f"{feature}({window}, after={name}) {self.op('500 shares' if '_' in feature else '1')}"
        if roll < 0.65:
            return f"times({name}, {self.window()}{side}) {self.op(str(self.rng.randint(1, 3)))}"
        return f"age({name}{side}) < {self.pick('1 s', '5 s', '1 min')}"
