"""Plans when generated flow happens, the rate of every box of time and the blocks to make; it draws no order."""

import numpy as np

from loadtest.profile import Profile
from loadtest.trading_day import OPEN_CLOCK

BOX_S = 0.1
"""The rate is constant inside a box of this length."""
BLOCK_REQUESTS, BLOCK_S = 1 << 17, 60.0
CHANNEL_PEAKS_S = {33_300: "09:15:00", 34_200: "09:30:00", 46_800: "13:00:00"}


def plan_rates(
    profile: Profile, rng: np.random.Generator, start_s: float, end_s: float, channel: str | None
) -> np.ndarray:
    """Relative rate of requests in every box between two times of the open clock, mean 1, common factor included."""
    boxes = np.arange(round(start_s / BOX_S), round(end_s / BOX_S))
    seconds = np.repeat(np.array(profile.minute_share) / 60, 60)
    for peak in profile.peaks:
        first = round(float(OPEN_CLOCK.from_wall(peak.at_s)))
        seconds[first : first + 60] = profile.minute_share[first // 60] * np.array(peak.second_share)
    rate = seconds[np.minimum((boxes * BOX_S + 1e-6).astype(int), len(seconds) - 1)]
    for cascade in profile.common:
        group = (boxes * BOX_S / cascade.box_s + 1e-6).astype(int)
        sigma = np.sqrt(np.log1p(cascade.variance))
        factor = np.exp(sigma * rng.standard_normal(group[-1] - group[0] + 1) - sigma**2 / 2)
        rate = rate * factor[group - group[0]]
    rate = rate / max(rate.mean(), 1e-12)
    if channel is not None:
        add_channel_peaks(profile, rate, boxes, channel)
    return np.asarray(rate)


def add_channel_peaks(profile: Profile, rate: np.ndarray, boxes: np.ndarray, channel: str) -> None:
    """Raise the seconds of a channel's peaks to their recorded multiple of the mean, falling off inside the second."""
    target = next((c for c in profile.channels if c.name == channel), None)
    if target is None:
        raise ValueError(f"channel: got {channel!r}, expected one of {', '.join(c.name for c in profile.channels)}")
    orders_only = 1.0 + float(np.mean([shape.cancel_ratio for shape in profile.shapes]))  # their cancels come later
    steep = 100 * target.max_10ms / target.max_1s
    fall = np.exp(-steep * np.arange(10) / 10)
    for at_s, label in CHANNEL_PEAKS_S.items():
        first = round(float(OPEN_CLOCK.from_wall(at_s)) / BOX_S) - boxes[0]
        if label in target.peaks_1s and 0 <= first <= len(rate) - 10:
            rate[first : first + 10] = orders_only * target.peaks_1s[label] / target.mean_per_s * fall / fall.mean()


def plan_blocks(requests: np.ndarray) -> list[int]:
    """Box numbers where blocks end, so that none expects many more than BLOCK_REQUESTS or lasts longer than BLOCK_S."""
    ends, filled, first = [], 0.0, 0
    for box, expected in enumerate(requests.tolist()):
        filled += expected
        if filled >= BLOCK_REQUESTS or box + 1 - first >= BLOCK_S / BOX_S:
            ends.append(box + 1)
            filled, first = 0.0, box + 1
    return ends if ends and ends[-1] == len(requests) else [*ends, len(requests)]
