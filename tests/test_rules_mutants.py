"""The comparison of rules and model can fail: a model with one mistake parts from the engine on some random day."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_day import Behaviour
from tests.rule_pair import Parted
from tests.test_rules_model import run

MOST_SEEDS = 40
MISTAKES = {
    "a window one step short": Behaviour(slack=1),
    "more where at least is written": Behaviour(strict=True),
    "the warn stage not scaled": Behaviour(warn_scaled=False),
    "a mark's gap ignored": Behaviour(gap=False),
    "sides swapped": Behaviour(swap_sides=True),
    "cool-off ignored": Behaviour(cool_off=False),
    "after= ignored": Behaviour(after=False),
    "escalation a hit late": Behaviour(escalate_late=1),
    "the judged order not counted": Behaviour(judged_counts=False),
    "shadow rules enforced": Behaviour(shadow_enforced=True),
    "exemptions ignored": Behaviour(exempt=False),
    "for: not waited for": Behaviour(patient=False),
    "windows begun anew by every rule set": Behaviour(carries_over=False),
    "new windows enforced at once": Behaviour(full=False),
}


@pytest.mark.parametrize("wrong", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_found(tmp_path: Path, wrong: Behaviour) -> None:
    assert any(parts(seed, tmp_path / "journal", wrong) for seed in range(1, MOST_SEEDS + 1))


def parts(seed: int, path: Path, wrong: Behaviour) -> bool:
    """Whether the wrong model does something else than the engine on that day."""
    try:
        run(seed, path, wrong)
    except Parted:
        return True
    return False
