"""Positions and borrowed shares of the limits file: one for each account and security. Knows no limit."""

from pathlib import Path
from typing import Any

import yaml

from ext.codes import VENUES
from gateway.limit_types import Locate, Position
from risk_rules.marked import (
    SHARES_BALANCE,
    SYMBOL,
    ConfigError,
    Document,
    Faults,
    Field,
    choice,
    csv_rows,
    line_of,
    quoted,
    read_text,
)

VENUE = choice(VENUES)


class PositionReader:
    """Positions from the limits file and from the CSV file it names: one for each account and security."""

    def __init__(self, index: dict[str, int]) -> None:
        self.columns = {"account": choice(index, "the id of an account"), "symbol": SYMBOL, "security_exchange": VENUE,
                        "total_shares": SHARES_BALANCE, "sellable_shares": SHARES_BALANCE}
        self.seen: dict[tuple[int, int, int], str] = {}  # key: where it stands
        self.positions: list[Position] = []

    def read_nodes(self, document: Document, node: yaml.Node) -> None:
        table = {name: Field(name, value) for name, value in self.columns.items()}
        for at, item in enumerate(document.items(node, "positions")):
            faults_before = len(document.faults.found)
            found = document.complete(item, f"positions[{at}]", table)
            if len(document.faults.found) == faults_before:
                self.add(document.faults, line_of(item), f"positions[{at}].", found)

    def read_file(self, path: Path, digest: Any) -> None:
        """Reads a CSV file and adds its text to the digest; raises ConfigError with its faults."""
        text = read_text(path)
        digest.update(text.encode())
        faults = Faults(path)
        for line, found in csv_rows(faults, text, self.columns):
            self.add(faults, line, "", found)
        faults.raise_any()

    def add(self, faults: Faults, line: int, field: str, found: dict[str, Any]) -> None:
        position = Position(found["account"], found["symbol"], found["security_exchange"], found["total_shares"],
                            found["sellable_shares"])
        key = (position.account_index, position.venue, position.symbol)
        total, sellable = position.total_shares, position.sellable_shares
        if key in self.seen:
            faults.add(line, f"{field}symbol", quoted(f"{position.symbol:06}"),
                       f"one position for each account and security ({self.seen[key]} has it)")
        elif sellable > total:
            faults.add(line, f"{field}sellable_shares", str(sellable), f"at most total_shares, {total}")
        else:
            self.seen[key] = f"{faults.path.name}:{line}"
            self.positions.append(position)


def positions_of(document: Document, found: dict[str, Any], index: dict[str, int], digest: Any) -> tuple[Position, ...]:
    """The positions of the file itself and of its positions file, whose text joins the digest."""
    reader = PositionReader(index)
    if found["positions"] is not None:
        reader.read_nodes(document, found["positions"])
    if found["positions_file"]:
        try:
            reader.read_file(document.faults.path.parent / found["positions_file"], digest)
        except ConfigError as error:
            document.faults.include(error)
    return tuple(reader.positions)


def locates_of(document: Document, node: yaml.Node | None, index: dict[str, int]) -> tuple[Locate, ...]:
    """What accounts have borrowed: one entry for each account and security."""
    if node is None:
        return ()
    table = {
        "account": Field("account_index", choice(index, "the id of an account")),
        "symbol": Field("symbol", SYMBOL),
        "security_exchange": Field("venue", VENUE),
        "shares": Field("shares", SHARES_BALANCE),
    }
    locates: dict[tuple[int, int, int], Locate] = {}
    for at, item in enumerate(document.items(node, "locates")):
        locate = document.struct(Locate, item, f"locates[{at}]", table)
        if locate and (key := (locate.account_index, locate.venue, locate.symbol)) in locates:
            document.fault(item, f"locates[{at}]", "one locate for each account and security")
        elif locate:
            locates[key] = locate
    return tuple(locates.values())
