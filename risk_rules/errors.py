"""What is wrong with rule files: every fault with its file, line, column and rule, all at once. Knows no rule."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass, field

from risk_rules.marked import MAX_NAMES, MAX_SHOWN, ConfigError


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands. line and column count from 1."""

    path: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class RuleErrors(ConfigError):
    """Rule files that cannot be used; `errors` holds one line per fault, `file:line:col: rule: message`."""


@dataclass
class Problems:
    """The faults and warnings found so far in all files of a rule set. `rule` is the rule that is being read."""

    rule: str = "file"
    errors: set[tuple[Place, str]] = field(default_factory=set)
    warnings: set[tuple[Place, str]] = field(default_factory=set)

    def add(self, place: Place, message: str, meant: str = "", names: Collection[str] = ()) -> None:
        """Notes one fault; the one of `names` that looks like `meant` is suggested."""
        self.errors.add((place, f"{place}: {self.rule}: {message}{suggestion(meant, names)}"))

    def warn(self, place: Place, message: str) -> None:
        self.warnings.add((place, f"{place}: {self.rule}: {message}"))

    def raise_any(self) -> None:
        """Raises RuleErrors with every fault in the order of the files' lines, if there is one."""
        if not self.errors:
            return
        errors = [text for _, text in sorted(self.errors)]
        left_off = len(errors) - MAX_SHOWN
        raise RuleErrors(errors[:MAX_SHOWN] + [f"{left_off} more errors"] * (left_off > 0))


def suggestion(meant: str, names: Collection[str]) -> str:
    close = difflib.get_close_matches(meant, names, 1) if meant and 0 < len(names) <= MAX_NAMES else []
    return f": did you mean `{close[0]}`?" if close else ""
