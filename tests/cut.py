"""Cut a failing list of steps down to a short one that still fails."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Step = TypeVar("Step")


def cut_down(steps: Sequence[Step], fails: Callable[[Sequence[Step]], bool], trials: int = 400) -> list[Step]:
    """Remove pieces, large ones first, as long as what is left still fails; gives up after so many trials."""
    kept = list(steps)
    size = max(1, len(kept) // 2)
    while trials > 0:
        start, removed = 0, False
        while start < len(kept) and trials > 0:
            shorter = kept[:start] + kept[start + size :]
            trials -= 1
            if fails(shorter):
                kept, removed = shorter, True
            else:
                start += size
        if size == 1 and not removed:
            return kept
        size = max(1, size // 2)
    return kept
