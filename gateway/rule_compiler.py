"""Rule sources, as pushed and stored, into compiled rule sets, and two of them compared. Puts nothing in force."""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import unified_diff
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from gateway.rule_store import StoreError
from risk_rules.accounts import read_accounts
from risk_rules.errors import RuleErrors
from risk_rules.load import NO_RULES, load_rules, rule_files
from risk_rules.loosening import compare, far_looser, needs_second_person
from risk_rules.marked import ConfigError
from risk_rules.rule_types import Account, Change, RuleSet

MOST_FILES = 100
TEST_SUFFIX = "_test.yaml"


class Comparison(msgspec.Struct, frozen=True):
    """What a rule set changes against the one before it."""

    changes: tuple[str, ...]
    loosens: bool
    loosens_tenfold: bool


class Compiler:
    """Compiles for one trading day (YYYYMMDD); a rule that is not valid on it is left out.

    limits: the file whose accounts new rules are held against; without it nobody looks whom they bind.
    """

    def __init__(self, trade_date: int, limits: Path | None = None) -> None:
        self.day = date(trade_date // 10_000, trade_date // 100 % 100, trade_date % 100)
        self.limits = limits

    @cached_property
    def accounts(self) -> list[Account] | None:
        """Read at the first push: a day's accounts do not change."""
        return read_accounts(self.limits) if self.limits else None

    def compile(self, sources: Mapping[str, str]) -> RuleSet:
        """The rule set; raises RuleErrors with its faults by file name, as they were pushed."""
        return loaded(sources, self.day)

    def compile_new(self, sources: Mapping[str, str]) -> RuleSet:
        """The same of rules that nobody used yet: one that binds none of the accounts is a mistake, too."""
        try:
            accounts = self.accounts
        except ConfigError as error:
            raise RuleErrors(error.errors) from None
        return loaded(sources, self.day, accounts)

    def compare(self, before: Mapping[str, str] | None, after: Mapping[str, str]) -> Comparison:
        """Over all days: what loosens tomorrow needs its second person today. None before: nothing can be looser."""
        if before is None:
            return Comparison(("the first rule set",), False, False)
        changes = compare(loaded(before, None).rules, loaded(after, None).rules)
        return Comparison(
            tuple(change_text(change) for change in changes), needs_second_person(changes), bool(far_looser(changes))
        )


def change_text(change: Change) -> str:
    """Z06003 looser: cancels(day) >: 500 -> 600 (1 times)."""
    moved = f": {change.before or 'nothing'} -> {change.after or 'nothing'}" if change.before or change.after else ""
    times = f" ({change.times} times)" if change.times > 1 else ""
    return " ".join(f"{change.rule} {change.verdict}: {change.what}{moved}{times}".split())[:400]


def loaded(sources: Mapping[str, str], day: date | None, accounts: list[Account] | None = None) -> RuleSet:
    """The rule set of sources, read like any other files: from a folder, which is theirs alone."""
    with tempfile.TemporaryDirectory(prefix="tidegate-rules-") as folder:
        for name, text in sources.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
        return load_rules(rule_files(Path(folder)), day=day, accounts=accounts, root=Path(folder))


def name_fault(names: Sequence[str]) -> str | None:
    """Why these cannot be the files of a rule set; None when they can."""
    if not 0 < len(names) <= MOST_FILES:
        return f"files: got {len(names)}, expected 1 to {MOST_FILES}"
    for name in names:
        if not name.endswith(".yaml") or Path(name).name != name or "\0" in name:
            return f"files.name: got {name[:60]!r}, expected a file name that ends in .yaml, without a folder"
    if all(name.endswith(TEST_SUFFIX) or name in NO_RULES for name in names):
        return "files: got tests alone, expected rule files"
    return None


def sources_in(folder: Path) -> dict[str, str]:
    """The rule files of a folder and the tests beside them. Raises StoreError when one cannot be read."""
    sources: dict[str, str] = {}
    try:
        for path in sorted(folder.glob("*.yaml")):
            if path.name not in NO_RULES:
                sources[path.name] = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: {' '.join(str(error).split())}") from None
    return sources


def stale_text(base_sha256: str, base: dict[str, Any] | None) -> str:
    now = f"rule set {base['number']} ({base['sha256'][:12]}, by {base['by']}) is" if base else "none is"
    return f"this was made against {base_sha256[:12]}, which is no longer in force; {now}: compare again, then push"


def text_diff(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """The unified diff of all files."""
    lines: list[str] = []
    for name in sorted({*old, *new}):
        before, after = old.get(name, "").splitlines(keepends=True), new.get(name, "").splitlines(keepends=True)
        lines += unified_diff(before, after, f"in force/{name}", f"new/{name}")
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)
