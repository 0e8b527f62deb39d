"""What the shipped rulebook catches and stops: labelled abnormal and benign flow through the real engine."""

from pathlib import Path
from typing import Any

import risk_rules
from risk_rules.load import rule_files
from risk_rules.scenarios.evaluate import run_all, totals


def run(runs: int) -> dict[str, dict[str, Any]]:
    """The flows are the same every time: one run says it all."""
    found = totals(run_all(rule_files(Path(risk_rules.__file__).parent)))
    return {
        "abnormal_caught": {"value": found.abnormal_caught, "unit": "%", "target": ">= 99.5",
                            "note": f"of {found.abnormal_runs} runs of abnormal flow; wrong just below a threshold: "
                                    f"{found.near_false} % of {found.near_runs}"},
        "benign_stopped": {"value": found.benign_stopped, "unit": "%", "target": "< 0.1",
                           "note": f"of {found.benign_orders} benign orders, by abnormal-trading rules"},
    }
