"""Knows when the exchanges take orders and cancels, and counts time inside those windows; it reads no clock."""

from collections.abc import Sequence

import numpy as np

OPEN_WINDOWS_S = ((33_300, 33_900), (34_200, 41_400), (46_800, 54_000))
"""When orders are taken: opening auction, morning, afternoon with the closing auction."""
CANCEL_WINDOWS_S = ((33_300, 33_600), (34_200, 41_400), (46_800, 53_820))
"""When cancels are taken: not from 09:20 to 09:30 and not from 14:57."""


class Clock:
    """Counts only the seconds inside some windows of the day, so that breaks do not exist."""

    def __init__(self, windows_s: Sequence[tuple[int, int]]) -> None:
        self._wall_s = np.array(windows_s, dtype=float).ravel()
        lengths_s = np.diff(self._wall_s)
        lengths_s[1::2] = 0.0
        self._inside_s = np.concatenate(([0.0], np.cumsum(lengths_s)))
        self.length_s = float(self._inside_s[-1])

    def from_wall(self, wall_s: np.ndarray | float) -> np.ndarray:
        """Seconds since midnight to seconds inside the windows; a time in a break becomes the break's start."""
        return np.asarray(np.interp(wall_s, self._wall_s, self._inside_s))

    def to_wall(self, inside_s: np.ndarray) -> np.ndarray:
        """Seconds inside the windows to seconds since midnight."""
        window = np.clip(np.searchsorted(self._inside_s[1::2], inside_s, "right"), 0, len(self._wall_s) // 2 - 1)
        return np.asarray(self._wall_s[2 * window] + inside_s - self._inside_s[2 * window])


OPEN_CLOCK, CANCEL_CLOCK = Clock(OPEN_WINDOWS_S), Clock(CANCEL_WINDOWS_S)
