"""Reads rule tests (`*_test.yaml`): who trades what, and a tape of lines an officer can read. It plays nothing.

docs/rule-tests.md explains the format. Every fault is named with its file and line.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import yaml

from ext.codes import ACCOUNT_TAGS
from risk_rules.marked import ConfigError, Document, Field, Value, integer, line_of, matching, quoted, read_text
from risk_rules.stage import Client, Security, e4, full_symbol

NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "min": 60_000_000_000, "h": 3_600_000_000_000}
MOST_REPEATS = 100_000
NUMBER = r"[0-9][0-9_]*"
PRICE = r"[0-9][0-9_]*(?:\.[0-9]{1,4})?"
SYMBOL = r"[0-9]{6}(?:\.XSH[GE])?"
NAME = r"[A-Za-z][A-Za-z0-9_]*"
RULE = r"[A-Z][A-Za-z0-9_.-]{0,23}"
TIME = re.compile(r"(?:(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?|\+ ?([0-9]+) ?(us|ms|s|min|h))(?:\s+|$)")
COUNTED = re.compile(r"\{n\}|\{(?P<from>[0-9_.]+) ?(?P<sign>[+-]) ?n(?: ?\* ?(?P<by>[0-9_.]+))?\}")
ACTIONS = {
    "order": rf"(?P<account>{NAME}) (?P<side>buys|sells) (?P<shares>{NUMBER}) (?P<symbol>{SYMBOL}) "
    rf"at (?P<price>market|{PRICE})(?: as (?P<name>{NAME}))?",
    "request": rf"cancel (?P<name>{NAME})",
    "confirmed": rf"(?P<name>{NAME}) is confirmed",
    "canceled": rf"(?P<name>{NAME}) is canceled",
    "fill": rf"(?P<name>{NAME}) fills (?P<shares>{NUMBER}|all) at (?P<price>{PRICE})(?: with (?P<other>{NAME}))?",
    "market": rf"market (?P<symbol>{SYMBOL})(?P<changes>( (bid|ask)( {PRICE}x{NUMBER})+| last {PRICE}"
    rf"| (volume|turnover) \+?{NUMBER})+)",
    "restart": r"restart",
    "nothing": r"expect nothing",
    "hit": rf"expect (?P<absent>no )?(?P<rule>{RULE})(?: (?P<stage>warn|breach|observed))?",
    "decided": rf"expect (?P<how>accepted|blocked|suspended)(?: (?P<code>R[0-9]{{4}}))?(?: (?P<rule>{RULE}))?",
    "level": rf"expect (?P<account>{NAME}) level L(?P<level>[0-7])(?: in (?P<symbol>{SYMBOL}))?",
    "wait": r"",
}
EXPECTED = (
    "an order (A1 buys 100 600519 at 10.00 as o1), o1 is canceled, cancel o1, o1 is confirmed, o1 fills 100 at 10.00, "
    "market 600519 bid 9.99x100 ask 10.01x100 last 10.00 volume +1000, restart, or expect ..."
)
COMPILED = {kind: re.compile(pattern) for kind, pattern in ACTIONS.items() if kind not in ("hit", "decided", "level")}
EXPECTATIONS = {kind: re.compile(ACTIONS[kind]) for kind in ("decided", "level", "hit")}


class Line(msgspec.Struct, frozen=True):
    """One line of a tape, or a repeated part of it: text is then empty."""

    line: int  # in the file
    text: str
    repeat: int = 0
    every_ns: int = 0
    body: tuple["Line", ...] = ()


class Step(msgspec.Struct, frozen=True):
    """A line as it is played: when, and what."""

    line: int
    text: str
    kind: str
    terms: dict[str, str | None]
    of_day_ns: int | None = None  # a time of day
    after_ns: int = 0  # or so long after the line before


class RuleTest(msgspec.Struct, frozen=True):
    name: str
    line: int
    what: str
    day: date
    securities: tuple[Security, ...]
    clients: tuple[Client, ...]
    tape: tuple[Line, ...]


class TapeFile(msgspec.Struct, frozen=True):
    path: Path
    rules: tuple[Path, ...]  # files the tests are of
    switch_on: tuple[str, ...]  # rules of mode off that these tests switch on
    tests: tuple[RuleTest, ...]


def load_tests(path: Path) -> TapeFile:
    """One test file; raises ConfigError with every fault in it."""
    document = Document(path, read_text(path))
    found = document.complete(document.root, "", TOP)
    document.faults.raise_any()
    raw = found["tests"]
    day, securities, clients = found["day"], found["instruments"], found["accounts"]
    tests = tuple(
        RuleTest(
            test["name"],
            test["line"],
            test["what"],
            test["day"] or day,
            test["instruments"] or securities,
            test["accounts"] or clients,
            test["tape"],
        )
        for test in raw
    )
    for test in tests:
        if not test.securities or not test.clients:
            document.faults.add(test.line, test.name, "no instruments or accounts", "some, of the test or of the file")
        check_names(document, test)
    names = [test.name for test in tests]
    for test in tests:
        if names.count(test.name) > 1:
            document.faults.add(test.line, "name", quoted(test.name), "a name once")
    document.faults.raise_any()
    rules = tuple(path.parent / name for name in found["rules"]) or (
        path.with_name(path.name.replace("_test.yaml", ".yaml")),
    )
    return TapeFile(path, rules, found["switch_on"], tests)


def check_names(document: Document, test: RuleTest) -> None:
    """Accounts and instruments a tape speaks of are those of the test."""
    accounts, symbols = {client.id for client in test.clients}, {security.symbol for security in test.securities}
    for line in [part for whole in test.tape for part in (whole.body or (whole,))]:
        step = step_of(line.line, line.text, 1)
        terms = step.terms if step else {}
        account, symbol = terms.get("account"), terms.get("symbol")
        if account and account not in accounts:
            document.faults.add(line.line, test.name, f"account {account}", f"one of {', '.join(sorted(accounts))}")
        if symbol and full_symbol(symbol) not in symbols:
            document.faults.add(line.line, test.name, f"instrument {symbol}", f"one of {', '.join(sorted(symbols))}")


# --- lines ---


def step_of(line: int, text: str, turn: int = 0) -> Step | None:
    """One line as a step, {n} replaced by the turn of the innermost repeat; None when it reads like nothing."""
    text = COUNTED.sub(lambda match: counted(match, turn), text.strip()) if turn else text.strip()
    at = TIME.match(text)
    action = text[at.end() :] if at else text
    kinds = EXPECTATIONS if action.startswith("expect ") and action != "expect nothing" else COMPILED
    for kind, pattern in kinds.items():
        if match := pattern.fullmatch(action):
            of_day_ns, after_ns = time_of(at)
            return Step(line, text, kind, match.groupdict(), of_day_ns, after_ns)
    return None


def counted(match: re.Match[str], turn: int) -> str:
    if match["from"] is None:
        return str(turn)
    change = Decimal((match["by"] or "1").replace("_", "")) * turn
    start = Decimal(match["from"].replace("_", ""))
    return str(start + change if match["sign"] == "+" else start - change)


def time_of(at: re.Match[str] | None) -> tuple[int | None, int]:
    """(ns since midnight or None, ns after the line before)."""
    if at is None:
        return None, 0
    if at[5]:
        return None, int(at[5]) * NS[at[6]]
    seconds = (int(at[1]) * 60 + int(at[2])) * 60 + int(at[3])
    return seconds * NS["s"] + int((at[4] or "0").ljust(9, "0")), 0


def steps_of(tape: tuple[Line, ...]) -> Iterator[tuple[Step, int]]:
    """(step, turn) of every line with its repeats; a step of kind `turn` begins each, every_ns after the last."""
    for line in tape:
        for turn in range(1, line.repeat + 1):
            yield Step(line.line, f"turn {turn}", "turn", {}, None, line.every_ns), turn
            for inner in line.body:
                step = step_of(inner.line, inner.text, turn)
                if step is None:
                    raise ConfigError([f"line {inner.line}: {quoted(inner.text)} cannot be read in turn {turn}"])
                yield step, turn
        if not line.repeat:
            step = step_of(line.line, line.text)
            if step is None:
                raise ConfigError([f"line {line.line}: {quoted(line.text)} cannot be read"])
            yield step, 0


def market_changes(text: str) -> Iterator[tuple[str, list[str]]]:
    """(bid | ask | last | volume | turnover, its words) of a market line."""
    found: list[str] = []
    name = ""
    for word in text.split():
        if word in ("bid", "ask", "last", "volume", "turnover"):
            if name:
                yield name, found
            name, found = word, []
        else:
            found.append(word)
    if name:
        yield name, found


# --- reading YAML ---


def tape_lines(document: Document, node: yaml.Node, field: str, depth: int = 0) -> tuple[Line, ...]:
    lines: list[Line] = []
    for item in document.items(node, field):
        if isinstance(item, yaml.MappingNode) and depth == 0:
            found = document.complete(item, field, REPEAT)
            if None not in found.values():
                lines.append(Line(line_of(item), "", found["repeat"], found["every"], found["tape"]))
        elif isinstance(item, yaml.ScalarNode) and step_of(line_of(item), item.value, depth):
            lines.append(Line(line_of(item), item.value))
        else:
            document.fault(item, field, EXPECTED)
    return tuple(lines)


def inner_lines(document: Document, node: yaml.Node, field: str) -> tuple[Line, ...]:
    return tape_lines(document, node, field, 1)


def read_security(text: str) -> Security | None:
    """`600519 at 10.00`, `600001 ST at 5.00`."""
    match = re.fullmatch(rf"({SYMBOL})( ST)? at ({PRICE})", text)
    return Security(full_symbol(match[1]), e4(match[3]), bool(match[2])) if match else None


def read_client(text: str) -> Client | None:
    """`A1`, `A1 in G1`, `A1 tags hft programme`, `A1 in G1 tags hft`."""
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9]{0,8})(?: in ([A-Za-z][A-Za-z0-9]{0,15}))?(?: tags ((?:\w+ ?)+))?", text)
    tags = tuple((match[3] or "").split()) if match else ()
    return Client(match[1], match[2] or "", tags) if match and all(tag in ACCOUNT_TAGS for tag in tags) else None


def read_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read_span(text: str) -> int | None:
    match = re.fullmatch(r"([0-9]{1,6}) ?(us|ms|s|min|h)", text)
    return int(match[1]) * NS[match[2]] if match else None


def read_times(text: str) -> int | None:
    times = int(text) if re.fullmatch(NUMBER, text) else 0
    return times if 0 < times <= MOST_REPEATS else None


def listed(document: Document, node: yaml.Node, field: str, value: Value) -> tuple[object, ...]:
    read = [document.value(item, field, value) for item in document.items(node, field)]
    return tuple(item for item in read if item is not None)


SECURITY = Value("an instrument: 600519 at 10.00, 600001 ST at 5.00, 000001.XSHG at 3000.00", read_security)
CLIENT = Value(f"an account: A1, A1 in G1, A1 tags hft ({', '.join(ACCOUNT_TAGS)})", read_client)
DAY = Value("a date, YYYY-MM-DD", read_day)
SPAN = Value("a time: 10 ms, 1 s, 1 min", read_span)
TIMES = Value(f"how often, 1 to {MOST_REPEATS:_}", read_times)
TEXT = matching(r"(?s).{0,400}", "text")
REPEAT = {
    "repeat": Field("repeat", TIMES),
    "every": Field("every", SPAN, 0),
    "tape": Field("tape", inner_lines),
}
WORLD = {
    "instruments": Field("instruments", lambda d, node, field: listed(d, node, field, SECURITY), ()),
    "accounts": Field("accounts", lambda d, node, field: listed(d, node, field, CLIENT), ()),
}
ONE_TEST = {
    "name": Field("name", matching(r"[a-z][a-z0-9_]{1,63}", "a name of small letters, digits and _")),
    "what": Field("what", TEXT, ""),
    "day": Field("day", DAY, None),
    "tape": Field("tape", tape_lines),
    **WORLD,
}


def tests_of(document: Document, node: yaml.Node, field: str) -> list[dict[str, object]]:
    items = document.items(node, field)
    return [
        {**document.complete(item, f"{field}[{at}]", ONE_TEST), "line": line_of(item)} for at, item in enumerate(items)
    ]


TOP = {
    "schema": Field("schema", integer(1, 1)),
    "rules": Field(
        "rules", lambda d, node, field: listed(d, node, field, matching(r"[\w.-]+\.yaml", "a rule file")), ()
    ),
    "switch_on": Field("switch_on", lambda d, node, field: listed(d, node, field, matching(RULE, "a rule's id")), ()),
    "day": Field("day", DAY, date(2026, 11, 23)),
    "tests": Field("tests", tests_of),
    **WORLD,
}
