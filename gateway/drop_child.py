"""The drop copy as its shard sees it: what it is told at its start and as the journal grows, and what it says.

It costs the shard one look at an offset every few milliseconds; trading never waits for it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.framing import Framed
from gateway.kept_child import KeptChild, cpus_of
from gateway.metrics import DropFigures
from gateway.settings import Settings

TELL_S = 0.005
OFFSET_BYTES = 8


class DropSettings(msgspec.Struct, frozen=True):
    """What the drop copy is started with, as one argument of JSON."""

    fd: int  # its end of the socket pair
    folder: str  # of the journals
    cluster: str
    shard: int
    trade_date: int
    cpus: tuple[int, ...]  # where it may run: never on the shard's own core
    most_accounts: int  # sizes of the shard's state
    most_positions: int
    most_orders: int
    most_entries: int = 0  # that stay in the stream once every group has acknowledged them; 0: all
    debug: bool = False


class DropCopyChild(KeptChild):
    """The drop copy of one shard. safe_end: the journal's offset up to which frames are whole, and safe to tell."""

    def __init__(self, settings: DropSettings, redis: str, safe_end: Callable[[], int], log: Any) -> None:
        super().__init__("drop_copy", "gateway.drop_copy", log, redis)
        self.settings = settings
        self.safe_end = safe_end
        self.told = DropFigures()
        self.telling: asyncio.TimerHandle | None = None

    async def launch(self) -> str:
        """One process; nobody waits until it has read the journal."""
        self.stop_telling()
        frames = Framed(self.on_message, self.on_lost)
        await self.run(frames, lambda fd: msgspec.structs.replace(self.settings, fd=fd))
        self.tell_end(frames, 0)
        return ""

    def on_message(self, octets: bytes) -> None:
        self.told = msgspec.json.decode(octets, type=DropFigures)

    def on_lost(self) -> None:
        self.stop_telling()
        self.told = msgspec.structs.replace(self.told, up=False)

    def tell_end(self, frames: Framed, told: int) -> None:
        """The journal's safe end, whenever it has moved and the child has taken what it was told before."""
        end = self.safe_end()
        if end != told and frames.writable.is_set():
            frames.send(end.to_bytes(OFFSET_BYTES, "little"))
            told = end
        self.telling = asyncio.get_running_loop().call_later(TELL_S, self.tell_end, frames, told)

    def stop_telling(self) -> None:
        if self.telling is not None:
            self.telling.cancel()

    async def end(self) -> None:
        self.stop_telling()
        await super().end()

    def figures(self) -> DropFigures:
        """For the metrics; called by the thread that is scraped."""
        return msgspec.structs.replace(self.told, restarts=self.restarts)


def drop_settings(settings: Settings, state: Any) -> DropSettings:
    """state: the engine's."""
    return DropSettings(
        fd=-1,
        folder=str(settings.journal),
        cluster=settings.cluster,
        shard=settings.shard,
        trade_date=settings.trade_date,
        cpus=cpus_of(settings),
        most_accounts=state.most_accounts,
        most_positions=state.most_positions,
        most_orders=state.most_orders,
        most_entries=settings.drop_copy_most,
        debug=settings.debug,
    )
