"""Alerts on their way to any number of subscribers: each reads on from its own number and misses none.

The newest stay here; older ones are read from the shard's journal again, page by page. Rule numbers become names here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from google.protobuf.json_format import ParseDict

from gateway.engine_link import ControlError
from gateway.pb import control_pb2 as api

KEPT = 8192
PAGE = 256


class AlertHub:
    """read: (after_seq, most) -> alerts of the shard; read_names: (number of a rule set) -> its names."""

    def __init__(
        self,
        read: Callable[[int, int], Awaitable[list[dict[str, Any]]]],
        read_names: Callable[[int], Awaitable[dict[str, Any]]],
    ) -> None:
        self.read = read
        self.read_names = read_names
        self.kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.names: dict[int, dict[str, Any]] = {}
        self.newest = 0
        self.sent = 0
        self.levels_changed = True  # since whoever counts them looked
        self.cursors: dict[object, int] = {}
        self.arrived = asyncio.Condition()
        self.telling: set[asyncio.Task[None]] = set()

    @property
    def streams(self) -> int:
        return len(self.cursors)

    def begin(self, newest: int) -> None:
        """Alerts up to `newest` are the past: they are read when somebody asks for them."""
        self.newest = newest

    def add(self, first_seq: int, alerts: list[dict[str, Any]]) -> None:
        """The next alerts from the shard."""
        if first_seq != self.newest + 1:
            self.kept.clear()  # never a gap among those kept: the stream's reader pages over it
        self.kept.extend(alerts)
        self.levels_changed = self.levels_changed or any(alert["kind"] in ("LEVEL", "ADMIN") for alert in alerts)
        self.newest = first_seq + len(alerts) - 1
        task = asyncio.get_running_loop().create_task(self.tell())
        self.telling.add(task)
        task.add_done_callback(self.telling.discard)

    async def tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()

    def most_lag(self) -> int:
        """Alerts that the slowest subscriber has yet to take."""
        return max((self.newest - cursor for cursor in self.cursors.values()), default=0)

    async def follow(self, after_seq: int) -> AsyncIterator[api.Alert]:
        """Every alert after this one, without end. Raises ControlError when it is beyond the newest."""
        if after_seq > self.newest:
            raise ControlError(
                "OUT_OF_RANGE", f"after_seq: got {after_seq}, expected at most {self.newest}, the newest today"
            )
        me, cursor = object(), after_seq
        self.cursors[me] = cursor
        try:
            while True:
                for alert in await self.page(cursor):
                    yield await self.named(alert)
                    cursor = self.cursors[me] = alert["alert_seq"]
                    self.sent += 1
                async with self.arrived:
                    while self.newest <= cursor:
                        await self.arrived.wait()
        finally:
            del self.cursors[me]

    async def page(self, cursor: int) -> list[dict[str, Any]]:
        """The next alerts after cursor: of those kept when they reach back so far, else from the shard."""
        first = self.kept[0]["alert_seq"] if self.kept else self.newest + 1
        if cursor + 1 < first:
            return await self.read(cursor, PAGE)
        start = cursor + 1 - first
        return [self.kept[at] for at in range(start, min(start + PAGE, len(self.kept)))]

    async def named(self, alert: dict[str, Any]) -> api.Alert:
        """An alert of the shard as people read it."""
        row = dict(alert)
        rule, rule_set = row.pop("rule", 0), row.get("rule_set", 0)
        factors = row.pop("factors", [])
        if rule and rule_set:
            names = await self.names_of(rule_set)
            entry = names["rules"][rule - 1]
            row |= {"rule": f"{entry['id']}@{entry['version']}", "rule_name": entry["name"]}
            row["factors"] = [named_factor(factor, names["factors"]) for factor in factors]
        found: api.Alert = ParseDict(row, api.Alert(), ignore_unknown_fields=True)
        return found

    async def newest_of(self, account: str, group: str, most: int) -> list[api.Alert]:
        """The newest alerts kept here that concern an account or its group, newest first."""
        found = [
            alert
            for alert in reversed(self.kept)
            if alert.get("account") == account or (group and alert.get("group") == group)
        ]
        return [await self.named(alert) for alert in found[:most]]

    async def names_of(self, rule_set: int) -> dict[str, Any]:
        """The names of one rule set of the day; they never change."""
        if rule_set not in self.names:
            self.names[rule_set] = await self.read_names(rule_set)
        return self.names[rule_set]


def named_factor(factor: dict[str, Any], texts: list[dict[str, Any]]) -> dict[str, Any]:
    number = factor["factor"]
    known = texts[number] if number < len(texts) else {"text": f"factor {number}", "unit": ""}
    return {"text": known["text"], "unit": known["unit"], "value": factor["value"], "limit": factor["limit"]}
