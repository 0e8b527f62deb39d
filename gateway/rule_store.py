"""What was ever pushed: the sources of each rule set by their SHA-256, and one line of history for each step.

<folder>/<sha256>.yaml maps file names to texts; <folder>/history.jsonl only grows, each line on the disk before the
step is answered. It decides nothing and runs nothing.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

HISTORY = "history.jsonl"
LEAST_PREFIX = 8
IN_FORCE = ("in_force", "rolled_back")


class StoreError(Exception):
    """A store that cannot be used: file, line, what is wrong with it."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of one proposal. time_ns, expires_ns: UTC; trade_date: YYYYMMDD."""

    time_ns: int
    step: str  # pushed, approved, refused, lapsed, in_force, rolled_back
    by: str
    kind: str = "RULES"  # ProposalKind
    proposal: int = 0
    sha256: str = ""
    base_sha256: str = ""
    approved_by: str = ""
    reason: str = ""
    rule_set_id: str = ""
    rule_set_version: int = 0
    number: int = 0
    trade_date: int = 0
    loosens: bool = False
    expires_ns: int = 0
    changes: tuple[str, ...] = ()
    scope: int = 0
    subject: str = ""
    symbol: str = ""
    security_exchange: str = ""
    level: int = 0
    all_shards: bool = False


class Literal(str):
    """A text that YAML writes as a block, lines as they are."""


class SourceDumper(yaml.SafeDumper):
    """Writes sources so that they can be read."""


SourceDumper.add_representer(
    Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


class RuleStore:
    """One folder, owned by one process at a time. Raises StoreError when it cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = folder / HISTORY
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.entries = list(self.read_history())
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror or error}") from None

    def read_history(self) -> Iterator[Entry]:
        """Every whole line; a last line without its end was never answered, and is cut."""
        if not self.history.exists():
            return
        octets = self.history.read_bytes()
        whole = octets.rfind(b"\n") + 1
        if whole < len(octets):
            os.truncate(self.history, whole)
        for number, line in enumerate(octets[:whole].splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=Entry)
            except msgspec.MsgspecError as error:
                raise StoreError(f"{self.history}:{number}: {error}") from None

    def append(self, entry: Entry) -> None:
        """One step, on the disk when this returns."""
        try:
            with self.history.open("ab") as file:
                file.write(msgspec.json.encode(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"{self.history}: {error.strerror or error}") from None
        self.entries.append(entry)

    def save(self, sha256: str, sources: Mapping[str, str]) -> None:
        """The sources of one rule set; what is there already stays."""
        path = self.folder / f"{sha256}.yaml"
        if path.exists():
            return
        new = path.with_suffix(".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                file.write(written(sources))
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from None

    def load(self, sha256: str) -> dict[str, str]:
        """File names and texts of one rule set."""
        path = self.folder / f"{sha256}.yaml"
        try:
            sources: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise StoreError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
        if not isinstance(sources, dict) or not all(isinstance(text, str) for text in sources.values()):
            raise StoreError(f"{path}: expected file names and their texts")
        return sources

    def in_force(self) -> list[Entry]:
        """Every time a rule set came into force, oldest first."""
        return [entry for entry in self.entries if entry.step in IN_FORCE]

    def newest(self) -> Entry | None:
        """The rule set that came into force last."""
        return next(reversed(self.in_force()), None)

    def before(self, sha256: str) -> Entry | None:
        """The rule set that was in force before this one came."""
        entries = self.in_force()
        while entries and entries[-1].sha256 != sha256:
            entries.pop()
        return next((entry for entry in reversed(entries) if entry.sha256 != sha256), None)

    def find(self, prefix: str) -> list[Entry]:
        """The newest entry of each rule set that was in force and whose SHA-256 begins so."""
        if len(prefix) < LEAST_PREFIX:
            return []
        found = {entry.sha256: entry for entry in self.in_force() if entry.sha256.startswith(prefix)}
        return list(found.values())


def written(sources: Mapping[str, str]) -> str:
    """Sources as YAML that reads back to the same, octet by octet."""
    literal: dict[str, Any] = {name: Literal(text) for name, text in sources.items()}
    text = yaml.dump(literal, Dumper=SourceDumper, allow_unicode=True, sort_keys=True, width=1 << 16)
    if yaml.safe_load(text) == dict(sources):
        return text
    return yaml.safe_dump(dict(sources), default_style='"', sort_keys=True)
