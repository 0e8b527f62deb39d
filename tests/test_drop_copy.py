"""The drop copy over the days, and what it does with a stream that is not its own; the consumer's memory."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

from ext.report_reader import ReportReader
from gateway import drop_copy
from gateway.drop_child import DropSettings
from gateway.drop_copy import ADD, DropCopy, ForeignError, arguments_of
from gateway.drop_follow import Consumer, Seen, json_line, print_entries, text_line
from gateway.tasks import end_tasks
from tests.pair import Pair
from tests.redis_server import RedisServer
from tests.seeded_life import Simulation

STREAM = "tidegate:t:drop:01"
SIZES = {"most_accounts": 1024, "most_positions": 4096, "most_orders": 4096}


@pytest.fixture
def redis(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A day's journal, and where it ends."""
    simulation = Simulation(5)
    pair = Pair(simulation.model, tmp_path_factory.mktemp("journal") / "journal")
    for action in simulation.actions(300):
        pair.step(action)
    yield pair.driver.path, pair.driver.journal.end
    pair.driver.close()


@pytest.fixture
def folder(tmp_path, journal):
    """Journals of three days, all alike."""
    folder = tmp_path / "journals"
    folder.mkdir()
    for day in (20261120, 20261123, 20261124):
        copied = folder / f"{day}-01.journal"
        with journal[0].open("rb") as source, copied.open("wb") as target:
            target.write(source.read(journal[1]))
    return folder


def reports(folder):
    path = folder / "20261124-01.journal"
    with path.open("rb") as file:
        return ReportReader(file.fileno(), str(path), path.stat().st_size, **SIZES).take(1 << 20)


def copy_of(folder, redis, trade_date=20261124, **more):
    settings = DropSettings(
        fd=-1, folder=str(folder), cluster="t", shard=1, trade_date=trade_date, cpus=(0,), **SIZES, **more
    )
    copy = DropCopy(settings, redis.url)
    copy.safe_end = os.path.getsize(folder / f"{trade_date}-01.journal")
    copy.told.set()
    return copy


def run_until(copy, holds, within_s=10.0):
    async def run():
        task = asyncio.create_task(copy.copy_always())
        deadline = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < deadline
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        await end_tasks([task])

    asyncio.run(run())


def ids(redis):
    return [number.decode() for number, _ in redis.client().xrange(STREAM)]


def test_an_empty_stream_gets_every_day_there_is(folder, redis):
    ours = reports(folder)
    run_until(copy_of(folder, redis), lambda: redis.client().xlen(STREAM) == 3 * len(ours))
    expected = [f"{day}-{seq}" for day in (20261120, 20261123, 20261124) for seq, *_ in ours]
    assert ids(redis) == expected


def test_a_stream_goes_on_in_the_middle_of_a_day_before(folder, redis):
    """As when Redis was away at the end of it."""
    ours = reports(folder)
    run_until(copy_of(folder, redis, 20261120), lambda: redis.client().xlen(STREAM) == len(ours))
    redis.client().xtrim(STREAM, maxlen=5, approximate=False)
    run_until(copy_of(folder, redis), lambda: redis.client().xlen(STREAM) == 5 + 2 * len(ours))
    assert ids(redis)[5] == f"20261123-{ours[0][0]}"


def test_a_day_that_cannot_be_read_is_left_out(folder, redis):
    ours = reports(folder)
    path = folder / "20261123-01.journal"
    octets = bytearray(path.read_bytes())
    octets[len(octets) // 2] ^= 1
    path.write_bytes(octets)
    shutil.copy(folder / "20261124-01.journal", folder / "20261124-02.journal")
    copy = copy_of(folder, redis)
    run_until(copy, lambda: redis.client().xlen(STREAM) == 2 * len(ours))
    assert {number.partition("-")[0] for number in ids(redis)} == {"20261120", "20261124"}


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        ("20261125-1", {"account": "x", "event_seq": 1}),
        ("20261124-1", {"account": "x", "event_seq": 1}),
        ("20261124-999999", {"account": "A1", "event_seq": 1}),
    ],
)
def test_a_stream_that_is_not_ours_is_left_alone(folder, redis, number, fields, monkeypatch):
    monkeypatch.setattr(drop_copy, "REFUSED_S", 0.01)
    redis.client().xadd(STREAM, fields, id=number)
    copy = copy_of(folder, redis)
    run_until(copy, lambda: copy.was_lost)
    assert ids(redis) == [number]
    assert not copy.is_up


def test_a_key_that_is_no_stream_is_left_alone(folder, redis):
    redis.client().set(STREAM, "other")
    copy = copy_of(folder, redis)
    run_until(copy, lambda: copy.was_lost)
    assert redis.client().get(STREAM) == b"other"
    assert issubclass(ForeignError, Exception)


def test_another_writer_of_the_same_journal_does_no_harm(folder, redis):
    """As when the owner before has not heard yet that it is none."""
    ours = reports(folder)

    async def run():
        tasks = [asyncio.create_task(copy_of(folder, redis).copy_always()) for _ in range(3)]
        while redis.client().xlen(STREAM) < 3 * len(ours):
            await asyncio.sleep(0.01)
        await end_tasks(tasks)

    asyncio.run(asyncio.wait_for(run(), 10))
    assert ids(redis) == [f"{day}-{seq}" for day in (20261120, 20261123, 20261124) for seq, *_ in ours]


def test_a_batch_behind_one_that_failed_adds_nothing(redis):
    """Else the failed one could never be added: ids only grow."""
    client = redis.client()

    def batch(last, *seqs):
        rows = [(seq, b"A", seq, "NEW", b"r") for seq in seqs]
        return client.eval(ADD, 1, STREAM, last, *arguments_of(20261124, rows)).decode()

    assert batch("0-0", 1, 2) == "20261124-2"
    client.config_set("maxmemory", "1")
    with pytest.raises(OutOfMemoryError):
        batch("20261124-2", 3, 4)
    client.config_set("maxmemory", "0")
    assert batch("20261124-4", 5, 6) == "20261124-2"
    assert batch("20261124-2", 3, 4) == "20261124-4"
    assert batch("20261124-2", 3, 4) == "20261124-4", "nothing twice"
    assert ids(redis) == [f"20261124-{seq}" for seq in (1, 2, 3, 4)]


# --- consumers ---


def test_a_consumer_remembers_so_many():
    seen = Seen(most=2)
    keys = [{b"account": b"A", b"event_seq": str(number).encode()} for number in range(3)]
    assert [seen.is_new("1-1", key) for key in (*keys, keys[2], keys[0])] == [True, True, True, False, True]
    assert seen.is_new("2-1", keys[0]), "of another day"


def test_a_consumer_prints_once_what_it_is_given_twice(folder, redis, capsys):
    ours = reports(folder)
    run_until(copy_of(folder, redis, 20261120), lambda: redis.client().xlen(STREAM) == len(ours))
    consumer = Consumer(redis.client(), [STREAM], "g", "one", 100)
    for line in (text_line, json_line):
        given = 0
        for entries in consumer.read():
            print_entries(consumer, entries, line)
            given += len(entries)
            if given >= len(ours):
                break
        consumer.client.xgroup_destroy(STREAM, "g")
    assert len(capsys.readouterr().out.splitlines()) == len(ours)


def test_what_a_dead_consumer_was_given_is_taken_over(folder, redis):
    ours = reports(folder)
    run_until(copy_of(folder, redis, 20261120), lambda: redis.client().xlen(STREAM) == len(ours))
    dead = Consumer(redis.client(), [STREAM], "g", "dead", 100)
    given = next(entries for entries in dead.read() if entries)
    time.sleep(0.15)
    living, found = Consumer(redis.client(), [STREAM], "g", "living", 100), []
    for entries in living.read():
        found += [number for _, number, _ in entries]
        living.acknowledge(entries)
        if not entries and len(found) >= len(ours):
            break
    assert sorted(found) == sorted(ids(redis))
    assert given[0][1] in found
    again = Consumer(redis.client(), [STREAM], "g", "living", 100)
    assert next(entries for entries in again.read() if not entries) == []


def test_lines(folder, redis):
    ours = reports(folder)
    for seq, account, event_seq, exec_type, octets in ours:
        fields = {
            b"account": account, b"event_seq": str(event_seq).encode(),
            b"exec_type": exec_type.encode(), b"report": octets,
        }
        assert f'"event_seq":{event_seq}' in json_line(STREAM, f"20261124-{seq}", fields)
        assert f" {account.decode()} {event_seq} " in text_line(STREAM, f"20261124-{seq}", fields)
    assert Path(folder).exists()
