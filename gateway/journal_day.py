"""What the numbers in one day's journal mean to people: names, times, amounts, and who set what. It judges nothing."""

from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from ext import lookback
from ext.codes import VENUES
from ext.response import SUBJECT_NAMES

Facts = dict[str, Any]

SHANGHAI = timezone(timedelta(hours=8))
NOTHING, GROUP_OWNER = 0xFFFFFFFF, 0x80000000
SETTINGS = ("DAY", "RULES", "GROUP", "INSTRUMENT", "RULE_SET", "ADMIN", "KILL", "LEVEL", "TICKET")


# --- values for people ---


def when(time_ns: int) -> str:
    """A time in Shanghai, to the microsecond."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, SHANGHAI)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06d}"


def shown(value: int, unit: str) -> str:
    """An amount in its unit. Money and prices are kept in 1e-4 yuan, ratios in ppm, times in ns."""
    if value == -(1 << 63):
        return "undefined"
    if unit in ("yuan", "price"):
        sign, rest = "-" if value < 0 else "", abs(value)
        cents = f"{rest % 10_000:04d}".rstrip("0").ljust(2, "0")
        return f"{sign}{rest // 10_000:,}.{cents} yuan" + ("/share" if unit == "price" else "")
    if unit == "ratio":
        return f"{value / 10_000:,.4f}".rstrip("0").rstrip(".") + " %"
    if unit == "time":
        return f"{value / 1e9:,.6f}".rstrip("0").rstrip(".") + " s"
    if unit == "flag":
        return "yes" if value else "no"
    return f"{value:,}" + ("" if unit in ("count", "number") else f" {unit}")


def name_of(table: dict[str, int], number: int) -> str:
    return next((name for name, value in table.items() if value == number), str(number))


# --- a day's journal ---


class Day:
    """What the numbers in one journal mean, and who set what in it."""

    def __init__(self, journal: Any) -> None:
        self.journal = journal
        self.settings: list[Facts] = list(lookback.picked(journal, SETTINGS))

    def of(self, kind: str, before: int = 0) -> list[Facts]:
        """Frames of one type, oldest first, that stand before an offset (0: all)."""
        return [frame for frame in self.settings if frame["type"] == kind and (not before or frame["offset"] < before)]

    @cached_property
    def instruments(self) -> list[tuple[str, int]]:
        """(symbol, venue) by index: numbered as they first came."""
        return list(dict.fromkeys((frame["symbol"], frame["venue"]) for frame in self.of("INSTRUMENT")))

    @cached_property
    def rule_sets(self) -> dict[int, Facts]:
        return {frame["number"]: frame for frame in self.of("RULE_SET")}

    @cached_property
    def groups(self) -> dict[int, str]:
        return {frame["index"]: frame["id"] for frame in self.of("GROUP")}

    def account(self, index: int, before: int = 0) -> Facts:
        """The account's newest settings before an offset."""
        found = list(lookback.picked(self.journal, ("ACCOUNT",), account=index, before=before))
        return (
            found[-1]
            if found
            else {"id": str(index), "group": NOTHING, "state": 1, "tags": 0, "profile": 0, "time_ns": 0}
        )

    def instrument(self, index: int) -> str:
        """`600519.XSHG`."""
        if index >= len(self.instruments):
            return ""
        symbol, venue = self.instruments[index]
        return f"{symbol}.{name_of(VENUES, venue)}"

    def owner(self, index: int) -> str:
        if index & GROUP_OWNER:
            return f"group {self.groups.get(index & ~GROUP_OWNER, index & ~GROUP_OWNER)}"
        return f"account {self.account(index)['id']}"

    def subject(self, level: Facts) -> str:
        """Whom a level binds."""
        kind = SUBJECT_NAMES.get(level["subject"], "")
        if kind == "FIRM":
            return "firm"
        if kind == "GROUP":
            return self.owner(GROUP_OWNER | level["index"])
        if kind == "ACCOUNT":
            return self.owner(level["index"])
        return f"{self.owner(level['owner'])} in {self.instrument(level['instrument'])}"

    def rule(self, rule_set: int, number: int) -> Facts | None:
        """A rule of a rule set by its number (from 1), with its source text and clause."""
        rules = self.rule_sets.get(rule_set, {}).get("names", {}).get("rules", [])
        if not 0 < number <= len(rules):
            return None
        rule = rules[number - 1]
        return {
            "rule": f"{rule['id']}@{rule['version']}",
            "name": rule.get("name", ""),
            "source": rule.get("source"),
            "text": rule.get("text", ""),
            "file": rule.get("file", ""),
            "line": rule.get("line", 0),
        }
