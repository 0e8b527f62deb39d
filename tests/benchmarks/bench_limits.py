"""How long ten thousand accounts take to load. Baseline: the YAML parser alone on the same text."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from gateway.limits import load_limits

SHIPPED = Path(__file__).parent.parent.parent / "risk_rules" / "limits.yaml"
ACCOUNTS = 10_000


def many_accounts() -> str:
    rows = "".join(
        f'  - {{id: B{at:06}, profile: retail, shareholder: {{XSHG: A3{at:08}, XSHE: "03{at:08}"}}, cash_yuan: 1000}}\n'
        for at in range(ACCOUNTS))
    return SHIPPED.read_text().replace("\naccounts:\n", f"\naccounts:\n{rows}", 1)


def run(runs: int) -> dict[str, dict[str, Any]]:
    text = many_accounts()
    seconds, baseline = [], []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "limits.yaml"
        path.write_text(text)
        for _ in range(runs):
            start = time.perf_counter()
            yaml.CBaseLoader(text).get_single_node()
            middle = time.perf_counter()
            loaded = load_limits(path)
            seconds.append(time.perf_counter() - middle)
            baseline.append(middle - start)
    assert len(loaded.accounts) >= ACCOUNTS
    value, empty = statistics.median(seconds), statistics.median(baseline)
    return {"limits_load_s": {"value": value, "unit": "s", "baseline": empty, "ratio": value / empty, "runs": seconds,
                              "note": f"{ACCOUNTS} accounts, one entry each; baseline: the YAML parser alone"}}
