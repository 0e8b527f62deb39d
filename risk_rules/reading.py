"""YAML text to the shapes of shapes.py, every value remembering where it stands. Judges shape only, never meaning.

Bounded in size, depth and aliases, so that no file can take the loader down.
"""

import bisect
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.inspect as kinds
import yaml

from risk_rules.errors import Place, Problems
from risk_rules.marked import described, quoted, refused

S = TypeVar("S", bound=msgspec.Struct)
MOST_SIZE = 4 << 20
TRUTHS = {"true": True, "false": False}


class Text(str):
    """A scalar of a file: its text, and the node that knows where it stands."""

    __slots__ = ("file", "node")
    file: "RuleFile"
    node: yaml.Node

    @classmethod
    def of(cls, file: "RuleFile", node: yaml.ScalarNode) -> "Text":
        text = cls(node.value)
        text.file, text.node = file, node
        return text

    @property
    def place(self) -> Place:
        return self.file.place(self.node)

    def at(self, column: int) -> Place:
        """Where the character at this column of the text stands in the file."""
        return self.file.inside(self.node, column)


class RuleFile:
    """One file's text and its nodes' places. Faults go to `problems`."""

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = str(path)
        self.problems = problems
        self.text = ""
        self.line_starts: list[int] = []

    # --- text and nodes ---

    def root(self, octets: bytes) -> yaml.Node | None:
        """The file's top node, or None after noting why there is none."""
        if len(octets) > MOST_SIZE:
            self.refuse(0, f"more than {MOST_SIZE} bytes, expected less: split it in files")
            return None
        try:
            self.text = octets.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.text = octets[:error.start].decode(errors="replace")
            self.refuse(len(self.text), f"no UTF-8 at byte {error.start}, expected text")
            return None
        tab = re.search(r"^ *\t", self.text, re.M)
        if tab is not None:
            self.refuse(tab.end() - 1, "a tab in the indentation, expected spaces")
            return None
        try:
            return self.composed()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            text = f"broken YAML: {error.problem or error.context}"
            self.problems.add(Place(self.path, mark.line + 1, mark.column + 1) if mark else Place(self.path), text)
        except yaml.reader.ReaderError as error:
            self.refuse(error.position, f"broken YAML: {error.reason}")
            return None
        return None

    def refuse(self, index: int, message: str) -> None:
        self.problems.add(self.place_at(index), message)

    def composed(self) -> yaml.Node | None:
        """The nodes, after one look at the events for what must not be composed."""
        fault = refused(self.text, aliases=False)
        if fault is not None:
            self.refuse(index_of(fault[0]), fault[1])
            return None
        root: yaml.Node | None = yaml.CBaseLoader(self.text).get_single_node()
        if root is None:
            self.problems.add(Place(self.path), "the file is empty, expected rules")
        return root

    def place_at(self, index: int) -> Place:
        if not self.line_starts:
            self.line_starts = [0, *(match.end() for match in re.finditer(r"\r\n|[\n\r\x85\u2028\u2029]", self.text))]
        line = bisect.bisect_right(self.line_starts, index)
        return Place(self.path, line, index - self.line_starts[line - 1] + 1)

    def place(self, node: yaml.Node) -> Place:
        return Place(self.path, node.start_mark.line + 1, node.start_mark.column + 1)

    def inside(self, node: yaml.Node, column: int) -> Place:
        """The place of a character of a scalar: quotes, folded lines and indentation are stepped over."""
        at, end = node.start_mark.index, node.end_mark.index
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            at = self.text.find("\n", at) + 1
        elif isinstance(node, yaml.ScalarNode) and node.style in ("'", '"'):
            at += 1
        for character in node.value[:column + 1]:
            if character.isspace():
                continue
            found = self.text.find(character, at, end)
            if found < 0:
                return self.place(node)
            at = found + 1
        return self.place_at(max(at - 1, 0) if column < len(node.value) else at)

    # --- shapes ---

    def read(self, node: yaml.Node | None, kind: type[S]) -> S | None:
        """The node as a struct. Faults are noted; what has one is left out, or None where it is required."""
        found = self.value(node, kinds.type_info(kind), "") if node is not None else None
        return found if isinstance(found, kind) else None

    def fault(self, node: yaml.Node, name: str, message: str, meant: str = "", names: tuple[str, ...] = ()) -> None:
        self.problems.add(self.place(node), f"{name}: {message}" if name else message, meant, names)

    def value(self, node: yaml.Node, kind: kinds.Type, name: str, words: str = "") -> Any:
        """A node as a value of this kind, or None after noting the fault. words: what would fit, when that is known."""
        if isinstance(kind, kinds.Metadata):
            return self.value(node, kind.type, name, expected(kind))
        if isinstance(kind, kinds.UnionType):
            return self.value(node, one_of(node, kind), name)
        if isinstance(kind, kinds.StructType):
            return self.struct(node, kind, name)
        if isinstance(kind, kinds.DictType):
            entries = {key: self.entry(key_node, value_node, kind, inner(name, key))
                       for key, key_node, value_node in self.pairs(node, name)}
            return {key: value for key, value in entries.items() if value is not None}
        if isinstance(kind, kinds.ListType):
            return self.items(node, kind, name)
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, name, f"got {described(node)}, expected {words or expected(kind)}")
            return None
        return self.scalar(node, kind, name, words or expected(kind))

    def struct(self, node: yaml.Node, kind: kinds.StructType, name: str) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        outer = self.problems.rule
        if "when" in fields and "breach" in fields:
            self.problems.rule = rule_of(node, outer)
        found: dict[str, Any] = {}
        pairs = self.pairs(node, name)
        for key, key_node, value_node in pairs:
            if key not in fields:
                self.fault(key_node, name, f"unknown key `{key[:60]}`", key, tuple(fields))
                continue
            value = self.value(value_node, fields[key].type, inner(name, key))
            if value is not None:
                found[fields[key].name] = value
        written = {key for key, _, _ in pairs}
        for key, field in fields.items():
            if not field.required or field.name in found:
                continue
            if key not in written and isinstance(node, yaml.MappingNode):
                self.fault(node, name, f"`{key}` is missing: expected {expected(field.type)}")
            found[field.name] = [] if isinstance(field.type, kinds.ListType) else None
        self.problems.rule = outer
        return kind.cls(**found)

    def pairs(self, node: yaml.Node, name: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """(key, its node, value's node) of a mapping; a repeated key is a fault."""
        if not isinstance(node, yaml.MappingNode):
            self.fault(node, name, f"got {described(node)}, expected a mapping")
            return []
        first: dict[str, yaml.Node] = {}
        found = []
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else described(key_node)
            if key in first:
                self.fault(key_node, name, f"`{key[:60]}` again: the first is on line {first[key].start_mark.line + 1}")
                continue
            first[key] = key_node
            found.append((key, key_node, value_node))
        return found

    def entry(self, key_node: yaml.Node, value_node: yaml.Node, kind: kinds.DictType, name: str) -> Any:
        self.value(key_node, kind.key_type, name)
        return self.value(value_node, kind.value_type, name)

    def items(self, node: yaml.Node, kind: kinds.ListType, name: str) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            self.fault(node, name, f"got {described(node)}, expected a list")
            return []
        if len(node.value) < (kind.min_length or 0):
            words = expected(kind.item_type).removeprefix("one of ")
            self.fault(node, name, f"an empty list, expected some of {words}")
        read = [self.value(item, kind.item_type, name) for item in node.value]
        return [item for item in read if item is not None]

    def scalar(self, node: yaml.ScalarNode, kind: kinds.Type, name: str, words: str) -> Any:
        result: Any = None
        names: tuple[str, ...] = ()
        if isinstance(kind, kinds.LiteralType):
            names = tuple(str(value) for value in kind.values)
            result = None if node.value not in names else Text.of(self, node) if isinstance(kind.values[0], str) else 1
        elif isinstance(kind, kinds.IntType):
            number = int(node.value) if re.fullmatch(r"[0-9]{1,9}", node.value) else -1
            result = number if (kind.ge or 0) <= number <= (kind.le or 10**9) else None
        elif isinstance(kind, kinds.BoolType):
            result, names = TRUTHS.get(node.value), tuple(TRUTHS)
        elif isinstance(kind, kinds.StrType) and re.search(kind.pattern or "", node.value):
            result = Text.of(self, node)
        if result is None:
            self.fault(node, name, f"got {quoted(node.value)}, expected {words}", node.value, names)
        return result


def index_of(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark else 0


def rule_of(node: yaml.Node, fallback: str) -> str:
    """The id of a rule's mapping, for messages."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    for key, value in pairs:
        if isinstance(key, yaml.ScalarNode) and key.value == "id" and isinstance(value, yaml.ScalarNode):
            return " ".join(value.value.split())[:24] or fallback
    return fallback


def inner(name: str, key: str) -> str:
    """The path of a key, as messages show it: rules are named by their ids."""
    return "" if key == "rules" and not name else f"{name}.{key[:40]}" if name else key[:40]


def one_of(node: yaml.Node, kind: kinds.UnionType) -> kinds.Type:
    """The member of a union that a node of this form is meant as."""
    members = [member for member in kind.types if not isinstance(member, kinds.NoneType)]
    is_mapping = isinstance(node, yaml.MappingNode)
    return next((member for member in members if isinstance(member, kinds.StructType) == is_mapping), members[0])


def expected(kind: kinds.Type) -> str:
    """What would fit, in words."""
    if isinstance(kind, kinds.Metadata):
        described_by = (kind.extra_json_schema or {}).get("description")
        return described_by or expected(kind.type)
    if isinstance(kind, kinds.UnionType):
        members = [expected(member) for member in kind.types if not isinstance(member, kinds.NoneType)]
        return " or ".join(members)
    if isinstance(kind, kinds.LiteralType):
        return "one of " + ", ".join(str(value) for value in kind.values)
    if isinstance(kind, kinds.IntType):
        return f"a whole number from {kind.ge or 0} to {kind.le or 10**9}"
    names: dict[type[kinds.Type], str] = {kinds.StructType: "a mapping", kinds.DictType: "a mapping",
                                          kinds.ListType: "a list", kinds.BoolType: "true or false"}
    return names.get(type(kind), "text")
