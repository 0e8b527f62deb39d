"""Sets of accounts: by id, by the start of ids, by controller group, by tag. Asks nobody who exists."""

from collections.abc import Iterable
from dataclasses import dataclass

from ext.codes import ACCOUNT_TAGS


@dataclass(frozen=True)
class AccountSet:
    """tags: bits of ext.codes.ACCOUNT_TAGS; an account with any of them is in."""

    ids: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    tags: int = 0

    @classmethod
    def of(cls, accounts: Iterable[str], groups: Iterable[str] = (), tags: Iterable[str] = ()) -> "AccountSet":
        """accounts: ids, or the start of ids and `*`."""
        names = [str(name) for name in accounts]
        return cls(frozenset(name for name in names if not name.endswith("*")),
                   frozenset(name[:-1] for name in names if name.endswith("*")),
                   frozenset(str(group) for group in groups), sum(ACCOUNT_TAGS[str(tag)] for tag in set(tags)))

    def union(self, other: "AccountSet") -> "AccountSet":
        return AccountSet(self.ids | other.ids, self.prefixes | other.prefixes, self.groups | other.groups,
                          self.tags | other.tags)
