"""`tidegate drop-copy follow`: one consumer of a group, which prints every report of the streams at least once.

Acknowledges what it has printed, takes over what a dead consumer of its group left, leaves out what it has printed
before. It changes no report and trims no stream.
"""

import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
import redis
import typer
from google.protobuf.json_format import MessageToDict
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import ResponseError, TimeoutError
from redis.retry import Retry

from gateway.pb import order_entry_pb2 as pb
from gateway.redis_link import key, place, reason_of
from gateway.settings import SHANGHAI, check_redis

MOST_AT_ONCE = 256
MOST_REMEMBERED = 1 << 20  # keys of reports
BLOCK_MS = 500
AGAIN_S = 0.5
ANSWER_S = 5.0
Entry = tuple[str, str, dict[bytes, bytes]]  # stream, id, fields

drop_copy = typer.Typer(no_args_is_help=True, help="The reports in Redis Streams.")


@drop_copy.callback()
def top() -> None:
    """The reports in Redis Streams."""


class Seen:
    """Keys of the newest reports: trade date, account, event_seq."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self.most = most
        self.keys: OrderedDict[tuple[str, bytes, bytes], None] = OrderedDict()

    def is_new(self, number: str, fields: dict[bytes, bytes]) -> bool:
        """Whether this report was never asked about; number: the entry's id."""
        report = (number.partition("-")[0], fields[b"account"], fields[b"event_seq"])
        if report in self.keys:
            return False
        self.keys[report] = None
        if len(self.keys) > self.most:
            self.keys.popitem(last=False)
        return True


class Consumer:
    """One consumer of a group on some streams. take_over_ms: how long another must be silent to be taken for dead."""

    def __init__(self, client: Any, streams: list[str], group: str, name: str, take_over_ms: int) -> None:
        self.client = client
        self.streams = streams
        self.group = group
        self.name = name
        self.take_over_ms = take_over_ms
        self.seen = Seen()
        self.looked_s = 0.0  # when it last looked for what others left

    def join(self) -> None:
        """The group on each stream, made where there is none: it then begins with the stream's first entry."""
        for stream in self.streams:
            try:
                self.client.xgroup_create(stream, self.group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def read(self) -> Iterator[list[Entry]]:
        """What there is to print, a batch at a time, each to be acknowledged; it ends by an error only."""
        self.join()
        yield from self.own_left()
        while True:
            if time.monotonic() - self.looked_s >= self.take_over_ms / 1000:
                yield from self.left_by_others()
                self.looked_s = time.monotonic()
            answer = self.client.xreadgroup(
                self.group, self.name, dict.fromkeys(self.streams, ">"), count=MOST_AT_ONCE, block=BLOCK_MS
            )
            yield entries_of(answer)

    def own_left(self) -> Iterator[list[Entry]]:
        """What this very consumer was given before, and never acknowledged."""
        while True:
            answer = self.client.xreadgroup(self.group, self.name, dict.fromkeys(self.streams, "0"), count=MOST_AT_ONCE)
            found = entries_of(answer)
            if not found:
                return
            yield found

    def left_by_others(self) -> Iterator[list[Entry]]:
        for stream in self.streams:
            start: Any = "0-0"
            while True:
                start, rows, *_ = self.client.xautoclaim(
                    stream, self.group, self.name, min_idle_time=self.take_over_ms, start_id=start, count=MOST_AT_ONCE
                )
                yield [(stream, number.decode(), fields) for number, fields in rows]
                if start == b"0-0":
                    break

    def acknowledge(self, entries: list[Entry]) -> None:
        for stream in self.streams:
            numbers = [number for of, number, _ in entries if of == stream]
            if numbers:
                self.client.xack(stream, self.group, *numbers)


def entries_of(answer: Any) -> list[Entry]:
    """What XREADGROUP answers; an entry that was trimmed away since is left out."""
    rows = answer.items() if isinstance(answer, dict) else answer or ()
    found: list[Entry] = []
    for stream, entries in rows:
        flat = entries[0] if entries and isinstance(entries[0], list) else entries
        found += [(stream.decode(), number.decode(), fields) for number, fields in flat if fields]
    return found


# --- lines ---


def report_of(fields: dict[bytes, bytes]) -> Any:
    """The ExecutionReport or CancelReject in an entry."""
    message = pb.ServerMessage.FromString(fields[b"report"])
    return getattr(message, message.WhichOneof("message"))


def json_line(stream: str, number: str, fields: dict[bytes, bytes]) -> str:
    row = {
        "stream": stream,
        "id": number,
        "account": fields[b"account"].decode(),
        "event_seq": int(fields[b"event_seq"]),
        "exec_type": fields[b"exec_type"].decode(),
        "report": MessageToDict(report_of(fields), preserving_proto_field_name=True),
    }
    return msgspec.json.encode(row).decode()


def text_line(stream: str, number: str, fields: dict[bytes, bytes]) -> str:
    """Time, account and number, what happened to which order."""
    report = report_of(fields)
    moment = datetime.fromtimestamp(report.time_ns / 1e9, SHANGHAI)
    what = fields[b"exec_type"].decode()
    if what == "TRADE":
        what += f" {report.last_qty_shares} at {report.last_px_e4 / 10_000:.4f}"
    name = f"{fields[b'account'].decode()} {int(fields[b'event_seq'])}"
    return f"{moment:%H:%M:%S.%f} {name} {report.cl_ord_id} {what} {report.text}".rstrip()


# --- the command ---


@drop_copy.command()
def follow(
    redis_url: Annotated[str, typer.Option("--redis", envvar="TIDEGATE_REDIS", help="redis://HOST:PORT/0.")],
    group: Annotated[str, typer.Option(help="Each group gets every report once, whoever of it reads it.")],
    consumer: Annotated[str, typer.Option(help="Name of this one in the group; keep it over restarts.")],
    cluster: Annotated[str, typer.Option(help="Name of the cluster.")] = "tidegate",
    shard: Annotated[list[int] | None, typer.Option(min=0, max=1295, help="Whose reports; 0 when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
    take_over_s: Annotated[float, typer.Option(min=0.1, help="Silence after which a consumer is dead.")] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left.")] = False,
) -> None:
    """Print every report, one line each, on and on: at least once, and once while this command runs."""
    check_redis(redis_url, cluster)
    streams = [key(cluster, "drop", number) for number in shard or [0]]
    client = redis.Redis.from_url(redis_url, socket_timeout=ANSWER_S, retry=Retry(NoBackoff(), 0))
    reader = Consumer(client, streams, group, consumer, round(take_over_s * 1000))
    line = json_line if as_json else text_line
    is_away = False
    while True:
        try:
            for entries in reader.read():
                is_away = False
                print_entries(reader, entries, line)
                if once and not entries and not is_anything_left(reader):
                    return
        except (LostError, TimeoutError, ResponseError) as error:
            if isinstance(error, ResponseError) and not str(error).startswith(("NOGROUP", "LOADING", "UNBLOCKED")):
                raise
            if not is_away:
                typer.echo(f"tidegate: {place(redis_url)} is away: {reason_of(error)}", err=True)
            is_away = True
            time.sleep(AGAIN_S)


def print_entries(reader: Consumer, entries: list[Entry], line: Any) -> None:
    """Out first, acknowledged then: what dies in between is printed again by whoever takes over."""
    for entry in entries:
        if reader.seen.is_new(*entry[1:]):
            sys.stdout.write(line(*entry) + "\n")
    sys.stdout.flush()
    reader.acknowledge(entries)


def is_anything_left(reader: Consumer) -> bool:
    """Whether somebody of the group still has something to acknowledge."""
    return any(reader.client.xpending(stream, reader.group)["pending"] for stream in reader.streams)
