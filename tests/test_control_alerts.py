"""Frames over the socket pair, and alerts to many subscribers: each one gets every number once and in order."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.alert_hub import KEPT, AlertHub
from gateway.engine_link import ControlError, EngineLink
from gateway.framing import MOST_FRAME_BYTES, SIZE_BYTES, Framed
from gateway.pb import engine_command_pb2 as pb
from tests.control_standin import StandIn, joined


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.octets = b""
        self.closed = False

    def write(self, octets: bytes) -> None:
        self.octets += octets

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_frames_come_whole_however_they_are_cut(messages, cuts):
    async def test() -> None:
        sink, found = Sink(), []
        sender = Framed(found.append, lambda: None)
        sender.connection_made(sink)
        for message in messages:
            sender.send(message)
        receiver = Framed(found.append, lambda: None)
        receiver.connection_made(Sink())
        at, step = 0, 0
        while at < len(sink.octets):
            receiver.data_received(sink.octets[at : at + cuts[step % len(cuts)]])
            at += cuts[step % len(cuts)]
            step += 1
        assert found == messages

    asyncio.run(test())


def test_a_frame_too_large_ends_the_connection():
    async def test() -> None:
        sink = Sink()
        receiver = Framed(lambda message: None, lambda: None)
        receiver.connection_made(sink)
        receiver.data_received((MOST_FRAME_BYTES + 1).to_bytes(SIZE_BYTES, "little"))
        assert sink.closed

    asyncio.run(test())


async def followed(hub: AlertHub, after: int, count: int, pause_s: float = 0) -> list[int]:
    """The first numbers that one subscriber gets; pause_s: how long it sleeps over each tenth alert."""
    found: list[int] = []
    async for alert in hub.follow(after):
        found.append(alert.alert_seq)
        if len(found) == count:
            break
        if pause_s and len(found) % 10 == 0:
            await asyncio.sleep(pause_s)
    return found


async def hub_of(shard_alerts: int = 0) -> tuple[AlertHub, StandIn]:
    """A hub that follows a stand-in shard, which had so many alerts before."""
    hub: AlertHub | None = None
    link = EngineLink(lambda first, alerts: hub.add(first, alerts))

    async def read(after: int, most: int):
        return await link.read("ALERTS", after_seq=after, most=most)

    async def names(number: int):
        raise AssertionError(number)

    hub = AlertHub(read, names)
    shard = await joined(link)
    if shard_alerts:
        shard.alert(shard_alerts, send=False)
    hub.begin(shard_alerts)
    return hub, shard


def test_every_subscriber_gets_every_alert_once():
    async def test() -> None:
        hub, shard = await hub_of(500)
        readers = [
            asyncio.create_task(followed(hub, after, 3000 - after, pause_s))
            for after, pause_s in ((0, 0), (500, 0), (123, 0.001), (499, 0))
        ]
        for _ in range(50):
            shard.alert(50)
            await asyncio.sleep(0.001)
        for reader, after in zip(readers, (0, 500, 123, 499), strict=True):
            assert await asyncio.wait_for(reader, 10) == list(range(after + 1, 3001))
        assert hub.streams == 0

    asyncio.run(test())


def test_a_slow_reader_falls_behind_what_is_kept_and_misses_nothing():
    async def test() -> None:
        hub, shard = await hub_of()
        total = 2 * KEPT
        reader = asyncio.create_task(followed(hub, 0, total))
        await asyncio.sleep(0)
        for _ in range(64):
            shard.alert(total // 64)
        assert await asyncio.wait_for(reader, 20) == list(range(1, total + 1))

    asyncio.run(test())


def test_a_number_of_the_future_is_out_of_range():
    async def test() -> None:
        hub, _ = await hub_of(5)
        with pytest.raises(ControlError) as error:
            await followed(hub, 6, 1)
        assert (error.value.status, "at most 5" in error.value.text) == ("OUT_OF_RANGE", True)

    asyncio.run(test())


def test_a_silent_shard_ends_a_call_and_a_gone_one_all(monkeypatch):
    async def test() -> None:
        monkeypatch.setattr("gateway.engine_link.CALL_TIMEOUT_S", 0.05)
        gone = asyncio.Event()
        link = EngineLink(lambda first, alerts: None, gone.set)
        shard = await joined(link)
        shard.silent = True
        for status in ("DEADLINE_EXCEEDED", "UNAVAILABLE", "UNAVAILABLE"):
            with pytest.raises(ControlError) as error:
                await link.read("LEVELS")
            assert error.value.status == status
            shard.frames.close()
            await asyncio.sleep(0.01)
        assert gone.is_set()

    asyncio.run(test())


def test_what_is_told_has_no_answer():
    async def test() -> None:
        link = EngineLink(lambda first, alerts: None)
        shard = await joined(link)
        link.tell(follow_alerts=pb.FollowAlerts(after_seq=3))
        assert (await link.read("RULE_SET")) == {}
        assert not link.calls
        assert not shard.steps

    asyncio.run(test())
