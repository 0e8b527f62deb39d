"""Reports read from a journal as it grows: what sessions were sent, never past what was told, from any number on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ext.journal import JournalError
from ext.report_reader import ReportReader
from gateway.pb import order_entry_pb2 as pb
from tests.pair import Pair
from tests.seeded_life import Simulation

STEPS = 400


def opened(path: Path, end: int, most_orders: int = 4096) -> Any:
    with path.open("rb") as file:
        sizes = {"most_accounts": 1024, "most_positions": 4096, "most_orders": most_orders}
        return ReportReader(file.fileno(), str(path), end, **sizes)


def messages(reports: list[Any]) -> list[Any]:
    found = [pb.ServerMessage.FromString(octets) for *_, octets in reports]
    return [getattr(message, message.WhichOneof("message")) for message in found]


@pytest.fixture(params=range(4))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    simulation = Simulation(request.param)
    pair = Pair(simulation.model, tmp_path / "journal")
    pair.actions = simulation.actions(STEPS)  # type: ignore[attr-defined]
    yield pair
    pair.driver.close()


def events(pair: Pair) -> list[Any]:
    return [message for message in pair.driver.observed if message.event_seq]


def test_every_report_as_sessions_had_it(pair: Pair) -> None:
    reader = opened(pair.driver.path, pair.driver.journal.end)
    found: list[Any] = []
    for number, action in enumerate(pair.actions):  # type: ignore[attr-defined]
        pair.step(action)
        if number % 5 == 0:
            reader.advance(pair.driver.journal.end)
            assert reader.journal.end == pair.driver.journal.end
        found += reader.take(3)
    reader.advance(pair.driver.journal.end)
    found += reader.take(1 << 20)
    assert messages(found) == events(pair)
    assert len(found) > 50
    assert reader.waiting == 0
    for (_, account, event_seq, exec_type, _), message in zip(found, events(pair), strict=True):
        assert (account.decode(), event_seq) == (message.account, message.event_seq)
        is_reject = isinstance(message, pb.CancelReject)
        assert exec_type == ("CANCEL_REJECT" if is_reject else pb.ExecType.Name(message.exec_type))


def test_from_any_number_on_and_back(pair: Pair) -> None:
    for action in pair.actions:  # type: ignore[attr-defined]
        pair.step(action)
    reader = opened(pair.driver.path, pair.driver.journal.end)
    every = reader.take(1 << 20)
    for at in (len(every) // 2, 3, len(every) - 1, 0):
        reader.seek(every[at][0] - 1)
        assert reader.waiting == len(every) - at
        assert reader.take(1 << 20) == every[at:]
    reader.seek(every[-1][0])
    assert (reader.take(9), reader.waiting) == ([], 0)


def test_nothing_past_what_was_told(pair: Pair) -> None:
    actions = pair.actions  # type: ignore[attr-defined]
    for _ in range(STEPS // 2):
        pair.step(next(actions))
    told, had = pair.driver.journal.end, len(events(pair))
    for action in actions:
        pair.step(action)
    reader = opened(pair.driver.path, told)
    assert len(reader.take(1 << 20)) == had
    reader.advance(told + 8)
    assert (reader.journal.end, reader.take(9)) == (told, [])
    reader.advance(pair.driver.journal.end)
    assert len(reader.take(1 << 20)) == len(events(pair)) - had


def test_what_cannot_be_read(pair: Pair, tmp_path: Path) -> None:
    for action in pair.actions:  # type: ignore[attr-defined]
        pair.step(action)
    path, end = pair.driver.path, pair.driver.journal.end
    with pytest.raises(JournalError, match="expected a journal of at least"):
        opened(path, 8)
    with pytest.raises(JournalError, match="at most 3 orders"):
        opened(path, end, most_orders=3)
    octets = bytearray(path.read_bytes()[:end])
    octets[end // 2] ^= 1
    (tmp_path / "damaged").write_bytes(octets)
    with pytest.raises(JournalError, match="damaged"):
        opened(tmp_path / "damaged", end)
    (tmp_path / "other").write_bytes(b"x" * 4096)
    with pytest.raises(JournalError, match="not a journal"):
        opened(tmp_path / "other", 4096)
    assert os.path.getsize(path) >= end
