"""Reads configuration text (YAML nodes, CSV rows) field by field and names every fault with its file and line.

It knows no field of any file: the fields are the caller's tables. It never guesses a missing value.
"""

import csv
import difflib
import gc
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T", bound=msgspec.Struct)
MAX_SHOWN = 100
MAX_NAMES = 1000  # no suggestions from longer lists: searching them takes too long
LAST_LINE = 2**31
MAX_DEPTH = 32  # of nested lists and mappings
MAX_E4 = 10**18  # sums of a few such amounts still fit an int64


class ConfigError(Exception):
    """A file that cannot be used: `errors` holds one line per fault, `file:line: field: got value, expected ...`."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(self.errors))


class Faults:
    """The faults found so far in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: list[tuple[int, str]] = []

    def add(self, line: int, field: str, got: str, expected: str, meant: str = "", names: Collection[str] = ()) -> None:
        """Notes one fault; `got` is shown as it is. One of `names` that looks like `meant` is suggested."""
        close = difflib.get_close_matches(meant, names, 1) if 0 < len(names) <= MAX_NAMES else []
        hint = f'; did you mean "{close[0]}"?' if close else ""
        self.found.append((line, f"{self.path}:{line}: {field}: got {got}, expected {expected}{hint}"))

    def include(self, error: ConfigError) -> None:
        """Adds the faults of a file that this one names."""
        self.found += [(LAST_LINE, text) for text in error.errors]

    def raise_any(self) -> None:
        """Raises ConfigError with every fault in line order, if there is one."""
        if not self.found:
            return
        errors = [text for _, text in sorted(self.found, key=lambda fault: fault[0])]
        left_off = len(errors) - MAX_SHOWN
        raise ConfigError(errors[:MAX_SHOWN] + [f"{self.path}: {left_off} more errors"] * (left_off > 0))


def quoted(text: str) -> str:
    """A value as error messages show it: quoted, escaped, cut at 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def read_text(path: Path) -> str:
    """The file as text; an unreadable file is a ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: file: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: file: got no UTF-8 at byte {error.start}, expected text"]) from None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Halves the time of reading a large file: its nodes are many, all alive until the end, and hold no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


# --- values: one line of text each ---


@dataclass(frozen=True)
class Value:
    """How one scalar is read: `read` returns None for a text that does not fit, `expected` says what would."""

    expected: str
    read: Callable[[str], Any]
    names: tuple[str, ...] = ()


def integer(minimum: int, maximum: int = 2**62, unit: str = "") -> Value:
    def read(text: str) -> int | None:
        number = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
        return number if number is not None and minimum <= number <= maximum else None

    bounds = f"from {minimum} to {maximum}" if maximum < 2**62 else f"of at least {minimum}"
    return Value(f"a whole number {bounds}{' ' + unit if unit else ''}", read)


def scaled(decimals: int, minimum: int, maximum: int, what: str) -> Value:
    """A plain decimal kept exactly as an integer of 10**-decimals; bounds are in that integer."""

    def read(text: str) -> int | None:
        if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
            return None
        number = Decimal(text).scaleb(decimals)
        return int(number) if number == int(number) and minimum <= number <= maximum else None

    return Value(what, read)


def choice(codes: Mapping[str, int], what: str = "") -> Value:
    """One of these names, as its code; `what` describes them where listing them would be too long."""
    return Value(what or "one of " + ", ".join(codes), lambda text: codes.get(text), tuple(codes))


def matching(pattern: str, what: str) -> Value:
    compiled = re.compile(pattern)
    return Value(what, lambda text: text if compiled.fullmatch(text) else None)


YUAN_LIMIT = scaled(4, 1, MAX_E4, "an amount of yuan above 0, at most 100 000 000 000 000, with at most 4 decimals")
YUAN_BALANCE = scaled(4, 0, MAX_E4, "an amount of yuan, 0 or more, with at most 4 decimals")
SHARES_LIMIT = integer(1, 10**12, "shares")
SHARES_BALANCE = integer(0, 10**12, "shares")
SYMBOL = Value("six digits", lambda text: int(text) if re.fullmatch(r"[0-9]{6}", text) else None)


# --- YAML ---


@dataclass(frozen=True)
class Field:
    """One key of a mapping: the attribute it becomes, how it is read, and its default (REQUIRED: there is none)."""

    out: str
    read: "Value | Reader"
    default: Any = ...


REQUIRED = ...
Reader = Callable[["Document", yaml.Node, str], Any]  # (document, node, field name) -> value, None when it was a fault


def refused(text: str, *, aliases: bool) -> tuple[yaml.Event, str] | None:
    """The event at which a text must not be composed, and why: nesting that overruns the stack, an unwanted alias."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CBaseLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            return event, f"nested deeper than {MAX_DEPTH}"
        if not aliases and isinstance(event, yaml.AliasEvent):
            return event, "an alias: use `let`, `params` or `sets` to say things once"
    return None


class Document:
    """One YAML file as nodes that know their lines."""

    def __init__(self, path: Path, text: str) -> None:
        self.faults = Faults(path)
        try:
            fault = refused(text, aliases=True)
            if fault is not None:
                raise ConfigError([f"{path}:{line_of(fault[0])}: syntax: got YAML {fault[1]}, expected less"])
            self.root = yaml.CBaseLoader(text).get_single_node()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError([f"{path}:{line}: syntax: {error.problem or error.context}, expected YAML"]) from None
        except yaml.reader.ReaderError as error:
            raise ConfigError([f"{path}: syntax: {error.reason} at offset {error.position}, expected YAML"]) from None

    def fault(self, node: yaml.Node, field: str, expected: str, names: Collection[str] = ()) -> None:
        meant = node.value if isinstance(node, yaml.ScalarNode) else ""
        self.faults.add(line_of(node), field, described(node), expected, meant, names)

    def pairs(self, node: yaml.Node | None, field: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """(key, key's node, value's node) of a mapping; a repeated key is a fault."""
        if not isinstance(node, yaml.MappingNode):
            self.expected_here(node, field, "a mapping")
            return
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else described(key_node)
            if key in first:
                expected = f"it once (the first is on line {first[key]})"
                self.faults.add(line_of(key_node), inside(field, key), "the key again", expected)
                continue
            first[key] = line_of(key_node)
            yield key, key_node, value_node

    def items(self, node: yaml.Node | None, field: str) -> list[yaml.Node]:
        """The nodes of a list."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.expected_here(node, field, "a list")
        return []

    def expected_here(self, node: yaml.Node | None, field: str, expected: str) -> None:
        if node is None:
            self.faults.add(1, field or "file", "nothing", expected)
        else:
            self.fault(node, field or "file", expected)

    def value(self, node: yaml.Node, field: str, value: Value) -> Any:
        """One scalar, or None after noting the fault."""
        result = value.read(node.value) if isinstance(node, yaml.ScalarNode) else None
        if result is None:
            self.fault(node, field, value.expected, value.names)
        return result

    def fields(self, node: yaml.Node | None, field: str, table: Mapping[str, Field]) -> dict[str, Any]:
        """The known and fitting keys of a mapping, as attributes; unknown keys are faults. Fills in no default."""
        found: dict[str, Any] = {}
        for key, key_node, value_node in self.pairs(node, field):
            entry = table.get(key)
            if entry is None:
                self.faults.add(line_of(key_node), field or "file", f"unknown key {quoted(key)}",
                                "one of " + ", ".join(table), key, table)
                continue
            name = inside(field, key)
            read = entry.read
            found[entry.out] = (self.value(value_node, name, read) if isinstance(read, Value)
                                else read(self, value_node, name))
        return found

    def complete(self, node: yaml.Node | None, field: str, table: Mapping[str, Field]) -> dict[str, Any]:
        """`fields` with defaults; a required key that is missing is a fault, and stands as None."""
        if not isinstance(node, yaml.MappingNode):
            self.expected_here(node, field, "a mapping")
            return {entry.out: None if entry.default is REQUIRED else entry.default for entry in table.values()}
        found = self.fields(node, field, table)
        for key, entry in table.items():
            if entry.out in found:
                continue
            if entry.default is REQUIRED:
                expected = entry.read.expected if isinstance(entry.read, Value) else "a value"
                self.faults.add(line_of(node), inside(field, key), "nothing", expected)
            found[entry.out] = None if entry.default is REQUIRED else entry.default
        return found

    def struct(self, kind: type[T], node: yaml.Node | None, field: str, table: Mapping[str, Field]) -> T | None:
        """One struct, or None when a fault was noted inside it."""
        before = len(self.faults.found)
        found = self.complete(node, field, table)
        return kind(**found) if len(self.faults.found) == before else None


def struct_of(kind: type[T], table: Mapping[str, Field]) -> Reader:
    return lambda document, node, field: document.struct(kind, node, field, table)


def tuple_of(kind: type[T], table: Mapping[str, Field]) -> Reader:
    def read(document: Document, node: yaml.Node, field: str) -> tuple[T | None, ...]:
        items = enumerate(document.items(node, field))
        return tuple(document.struct(kind, item, f"{field}[{index}]", table) for index, item in items)

    return read


def mask_of(codes: Mapping[str, int]) -> Reader:
    """A list of names as an integer whose bit `code` is set for each."""
    value = choice(codes)

    def read(document: Document, node: yaml.Node, field: str) -> int:
        mask = 0
        for item in document.items(node, field):
            mask |= 1 << (document.value(item, field, value) or 0)
        if not mask:
            document.fault(node, field, f"at least one of {', '.join(codes)}")
        return mask

    return read


def bits_of(codes: Mapping[str, int]) -> Reader:
    """A list of names, which may be empty, as the sum of their bits."""
    value = choice(codes)

    def read(document: Document, node: yaml.Node, field: str) -> int:
        mask = 0
        for item in document.items(node, field):
            mask |= document.value(item, field, value) or 0
        return mask

    return read


def line_of(node: yaml.Node | yaml.Event | None) -> int:
    return int(node.start_mark.line) + 1 if node is not None and node.start_mark is not None else 1


def described(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return quoted(node.value)
    return "a mapping" if isinstance(node, yaml.MappingNode) else "a list"


def inside(field: str, key: str) -> str:
    return f"{field}.{key}" if field else key


# --- CSV ---

Row = tuple[int, dict[str, Any]]


def csv_rows(
    faults: Faults, text: str, columns: Mapping[str, Value], optional: Collection[str] = ()
) -> Iterator[Row]:
    """(line, values) of every row whose cells all fit; the header must name these columns, in any order, each once.
    Optional ones may be absent."""
    reader = csv.reader(io.StringIO(text))
    header = next(reader, [])
    for name in header:
        if name not in columns:
            faults.add(1, "header", quoted(name), "one of " + ", ".join(columns), name, columns)
    missing = [name for name in columns if name not in header and name not in optional]
    if missing:
        faults.add(1, "header", f"no column {missing[0]}", "all of " + ", ".join(columns))
    if len(set(header)) != len(header):
        faults.add(1, "header", "a column twice", "each column once")
    if faults.found:
        return
    yield from fitting_rows(faults, reader, header, columns)


def fitting_rows(faults: Faults, reader: Any, header: list[str], columns: Mapping[str, Value]) -> Iterator[Row]:
    try:
        for row in reader:
            line = reader.line_num
            if len(row) != len(header):
                faults.add(line, "row", f"{len(row)} cells", f"{len(header)}")
                continue
            found = {name: columns[name].read(cell) for name, cell in zip(header, row, strict=True)}
            for name, cell in zip(header, row, strict=True):
                if found[name] is None:
                    faults.add(line, name, quoted(cell), columns[name].expected, cell, columns[name].names)
            if None not in found.values():
                yield line, found
    except csv.Error as error:
        faults.add(reader.line_num, "row", str(error), "a CSV row")
