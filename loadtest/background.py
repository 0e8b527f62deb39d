"""Everybody else's orders: seeds, replayed and generated flow, fed to the books by market time. Knows no client."""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import numpy as np

from loadtest.exchange_core import ExchangeCore
from loadtest.flow import FlowSymbol, arrays, load_flow, load_profile
from loadtest.flow_csv import BUY, FLOW_DTYPE, NEW, SELL
from loadtest.universe import Instrument

OPEN_CALL_US = 33_300_000_000
SEED_LEVELS = 10
FIRST_SEED_OID = 1 << 42  # above every number that flows use
NO_ROWS = np.zeros(0, FLOW_DTYPE)


class Blocks(Protocol):
    """Where a tape's rows come from."""

    def take(self) -> np.ndarray | None:
        """The next block; an empty one when there are no more, None when it is not there yet."""

    def wait(self) -> None:
        """Return when the next block is there."""

    def close(self) -> None:
        """Let go of whatever makes the rows."""


class OneBlock:
    """Rows that are in memory already."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def take(self) -> np.ndarray | None:
        rows, self.rows = self.rows, NO_ROWS
        return rows

    def wait(self) -> None:
        return

    def close(self) -> None:
        self.rows = NO_ROWS


class DrawnBlocks:
    """Generated flow, drawn by a child process of low priority and received by a thread, one block ahead."""

    def __init__(self, symbols: list[FlowSymbol], seed: int, start_s: float, end_s: float, rate_per_s: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.receiver, sender = context.Pipe(duplex=False)
        arguments = (sender, symbols, seed, start_s, end_s, rate_per_s)
        self.child = context.Process(target=draw_blocks, args=arguments, daemon=True, name="background flow")
        self.child.start()
        sender.close()
        self.thread = ThreadPoolExecutor(1, "background flow")
        self.coming = self.thread.submit(self.receive)

    def receive(self) -> np.ndarray:
        try:
            return np.frombuffer(self.receiver.recv_bytes(), FLOW_DTYPE)
        except (EOFError, OSError):
            return NO_ROWS

    def take(self) -> np.ndarray | None:
        if not self.coming.done():
            return None
        rows = self.coming.result()
        if len(rows):
            self.coming = self.thread.submit(self.receive)
        return rows

    def wait(self) -> None:
        self.coming.result()

    def close(self) -> None:
        self.child.terminate()
        self.child.join()
        self.thread.shutdown()
        self.receiver.close()


def draw_blocks(
    sender: Connection, symbols: list[FlowSymbol], seed: int, start_s: float, end_s: float, rate_per_s: float
) -> None:
    """Child process: draw block after block, each as soon as the one before is taken."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    try:
        for rows in arrays(load_profile(), symbols, seed=seed, start_s=start_s, end_s=end_s, rate_per_s=rate_per_s):
            if len(rows):
                sender.send_bytes(rows.tobytes())
    except BrokenPipeError:
        return


class Tape:
    """Rows of FLOW_DTYPE in time order, entered into the books as their time comes."""

    def __init__(self, symbols: Sequence[str], blocks: Blocks) -> None:
        self.symbols = np.array([int(symbol) for symbol in symbols], np.uint32)
        self.blocks = blocks
        self.rows = NO_ROWS
        self.position = 0
        self.ended = False

    def feed(self, core: ExchangeCore, until_us: int, budget_ns: int) -> bool:
        """Enter what is due by until_us, for about budget_ns; False when more is due."""
        if self.position == len(self.rows) and not self.ended:
            rows = self.blocks.take()
            if rows is None:
                return True
            self.rows, self.position = rows, 0
            self.ended = len(rows) == 0
        if self.ended:
            return True
        self.position = core.feed_rows(self.rows.view(np.uint8), self.symbols, self.position, until_us, budget_ns)
        return self.position < len(self.rows) and int(self.rows["ts_us"][self.position]) > until_us

    def close(self) -> None:
        self.blocks.close()


def seed_tape(instruments: Sequence[Instrument], seed: int) -> Tape:
    """Ten levels a side around the previous close of each instrument, entered when the opening call begins."""
    random = np.random.default_rng(seed)
    rows = np.zeros((len(instruments), 2, SEED_LEVELS), FLOW_DTYPE)
    ticks = np.arange(1, SEED_LEVELS + 1)
    for index, (levels, instrument) in enumerate(zip(rows, instruments, strict=True)):
        levels["symbol"] = index
        for side, sign, limit_e4 in ((0, -1, instrument.down_limit_e4), (1, 1, instrument.up_limit_e4)):
            prices = instrument.prev_close_e4 + sign * ticks * instrument.tick_e4
            levels[side]["price_e4"] = np.maximum(prices, limit_e4) if sign < 0 else np.minimum(prices, limit_e4)
    rows["side"] = np.array([BUY, SELL])[None, :, None]
    rows["act"] = NEW
    rows["ts_us"] = OPEN_CALL_US
    rows["qty_shares"] = random.integers(2, 60, rows.shape) * 100
    flat = rows.reshape(-1)
    flat["oid"] = FIRST_SEED_OID + np.arange(len(flat))
    return Tape([instrument.symbol for instrument in instruments], OneBlock(flat))


def replay_tape(path: Path, listed: Sequence[Instrument]) -> Tape:
    """The rows of a flow file whose symbols are listed here. Raises FlowError."""
    flow = load_flow(path)
    here = {instrument.symbol for instrument in listed}
    wanted = np.array([symbol in here for symbol in flow.symbols])
    return Tape(flow.symbols, OneBlock(flow.rows[wanted[flow.rows["symbol"]]]))


def generated_tape(
    instruments: Sequence[Instrument], seed: int, start_s: float, end_s: float, rate_per_s: float
) -> Tape:
    """Flow drawn from the shipped profile, rate_per_s requests a second on average over these instruments."""
    symbols = [
        FlowSymbol(symbol=i.symbol, reference_price_e4=i.prev_close_e4, limit_down_e4=i.down_limit_e4,
                   limit_up_e4=i.up_limit_e4, tick_e4=i.tick_e4, lot_shares=i.buy_min_shares) for i in instruments
    ]
    blocks = DrawnBlocks(symbols, seed, start_s, end_s, rate_per_s)
    return Tape([symbol.symbol for symbol in symbols], blocks)
