"""Rule files to a compiled rule set: the one way in, for `check`, for the server and for every tool alike.

All or nothing: every fault of every file at once, or a program. It never guesses a missing value.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from risk_rules.compile import compile_rules
from risk_rules.errors import Place, Problems
from risk_rules.loosening import compare
from risk_rules.marked import collector_paused
from risk_rules.reading import MOST_SIZE, RuleFile, Text
from risk_rules.resolve import RuleReader, Surroundings
from risk_rules.rule_types import ACCOUNT_SEED, Account, Rule, RuleSet
from risk_rules.sets import AccountSet
from risk_rules.shapes import FileShape
from risk_rules.times import day_bounds_ns
from risk_rules.units import UNIT_WORDS, Quantity, UnitError, parse_quantity

EVER_NS = 2**63 - 1
NO_RULES = {"limits.yaml"}  # stands beside the rules that are shipped
TEST_NAME = re.compile(r"^\s*(?:-\s+)?name:\s*[\"']?([^\s\"'#]+)", re.M)


def rule_files(path: Path) -> list[Path]:
    """The rule files of a directory, tests left out; a file is itself."""
    if not path.is_dir():
        return [path]
    return [found for found in sorted(path.glob("*.yaml"))
            if not found.name.endswith("_test.yaml") and found.name not in NO_RULES]


@collector_paused()
def load_rules(paths: Sequence[Path], *, day: date | None = None, accounts: Iterable[Account] | None = None,
               previous: RuleSet | None = None, root: Path | None = None) -> RuleSet:
    """Compiles the rules of some files that are in force on a day (None: on any).

    accounts: who there is, to find rules that bind nobody; None: not looked for. previous: the set that is in force, to
    tell in `changes` what gets tighter or looser. root: a folder that errors and names leave off their paths. Raises
    RuleErrors with every fault.
    """
    loader = Loader(day_bounds_ns(day) if day else (0, EVER_NS), root)
    for path in paths:
        loader.read(Path(path))
    loader.check_versions()
    if accounts is not None:
        loader.check_scopes(list(accounts))
    loader.problems.raise_any()
    rules = loader.in_force()
    rule_set = loader.rule_set()
    program, names = compile_rules(rules, rule_set, loader.sources, loader.problems)
    warnings = tuple(text for _, text in sorted(loader.problems.warnings))
    changes = compare(previous.rules, rules) if previous else ()
    return RuleSet(*rule_set, loader.sha256(), program, rules, names, warnings, changes)


@dataclass
class Loader:
    """Collects the rules of several files. day_ns: begin and end of the day they are read for; root: see load_rules."""

    day_ns: tuple[int, int]
    root: Path | None = None
    problems: Problems = field(default_factory=Problems)
    rules: list[Rule] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    ids: list[tuple[str, int]] = field(default_factory=list)

    # --- files ---

    def read(self, path: Path) -> None:
        """Reads one file; its faults are noted."""
        self.problems.rule = "file"
        name = path.relative_to(self.root) if self.root else path
        octets = self.octets(path, name)
        if octets is None:
            return
        file = RuleFile(name, self.problems)
        shape = file.read(file.root(octets), FileShape)
        self.sources[str(name)] = file.text
        if shape is None:
            return
        if shape.rule_set and shape.rule_set.id is not None and shape.rule_set.version is not None:
            self.ids.append((str(shape.rule_set.id), shape.rule_set.version))
        around = Surroundings(self.params(shape), self.sets(shape), self.securities(shape), test_names(path),
                              self.day_ns[0])
        for rule_shape in shape.rules:
            self.problems.rule = str(rule_shape.id or "rules")
            rule = RuleReader(rule_shape, around, self.problems).rule()
            if rule is not None:
                self.rules.append(rule)

    def octets(self, path: Path, name: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                return file.read(MOST_SIZE + 1)
        except (OSError, ValueError) as error:
            text = getattr(error, "strerror", None) or str(error)
            self.problems.add(Place(str(name)), text)
            return None

    def params(self, shape: FileShape) -> dict[str, Quantity]:
        found: dict[str, Quantity] = {}
        for name, text in shape.params.items():
            assert isinstance(text, Text)
            self.problems.rule = f"params.{name}"
            try:
                found[name] = parse_quantity(text)
            except UnitError as error:
                self.problems.add(text.place, str(error), error.meant, UNIT_WORDS)
                found[name] = Quantity(1, "count")
                continue
            if found[name].value == 0:
                self.problems.add(text.place, "a limit of zero: write 0 in the rule where nothing at all is meant")
        return found

    def sets(self, shape: FileShape) -> dict[str, AccountSet]:
        return {name: AccountSet.of(entry.accounts, entry.groups, entry.tags) for name, entry in shape.sets.items()}

    def securities(self, shape: FileShape) -> dict[str, list[tuple[int, int]]]:
        return {name: [(1 if entry.endswith("XSHG") else 2, int(entry[:6])) for entry in entries]
                for name, entries in shape.securities.items()}

    # --- all rules together ---

    def check_versions(self) -> None:
        """An id may come again only for another time."""
        first: dict[str, list[Rule]] = {}
        for rule in self.rules:
            self.problems.rule = rule.id
            for other in first.get(rule.id, []):
                if rule.is_valid_in(other.valid_from_ns, other.valid_to_ns or EVER_NS):
                    self.problems.add(rule.place, f"is also at {other.place}, in force at the same time: "
                                                  "another id, or valid_from and valid_to that do not overlap")
                    break
            first.setdefault(rule.id, []).append(rule)

    def check_scopes(self, accounts: list[Account]) -> None:
        """A rule that binds none of the accounts there are is a mistake."""
        by_id = {account.id: account for account in accounts}
        groups: dict[str, list[Account]] = {}
        for account in accounts:
            groups.setdefault(account.group, []).append(account)
        for rule in self.rules:
            self.problems.rule = rule.id
            scope = rule.scope
            named = [by_id[name] for name in scope.ids if name in by_id]
            named += [account for name in scope.groups for account in groups.get(name, [])]
            candidates = named if scope.is_named and not scope.prefixes and not scope.tags_any else accounts
            if not any(scope.takes(account) for account in candidates):
                # Names may be misspelt; a tag is a known word, which nobody may have today.
                is_wrong = rule.mode != "off" and scope.is_named
                note = self.problems.add if is_wrong else self.problems.warn
                note(rule.place, f"its scope matches none of the {len(accounts)} accounts")
            for exempt in rule.exempts:
                if exempt.id not in (by_id if exempt.seed == ACCOUNT_SEED else groups):
                    self.problems.warn(rule.place, f"exempt: there is no {exempt.id}")

    def in_force(self) -> tuple[Rule, ...]:
        """The rules that are in force at some time of the day."""
        return tuple(rule for rule in self.rules if rule.is_valid_in(*self.day_ns))

    def rule_set(self) -> tuple[str, int]:
        """(id, version): of all files that say so; several ids are joined."""
        ids = dict.fromkeys(name for name, _ in self.ids)
        return "+".join(ids)[:47] or "rules", max((version for _, version in self.ids), default=1)

    def sha256(self) -> str:
        """Of the files' names and texts, in whatever order they were given."""
        digest = hashlib.sha256()
        for name, text in sorted((Path(path).name, text) for path, text in self.sources.items()):
            digest.update(f"{name}\0{len(text)}\0{text}".encode())
        return digest.hexdigest()


def test_names(path: Path) -> frozenset[str] | None:
    """The names of the tests in the file beside this one; None when there is no such file."""
    beside = path.with_name(f"{path.stem}_test.yaml")
    try:
        return frozenset(TEST_NAME.findall(beside.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return None
