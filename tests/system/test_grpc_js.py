"""A front end in @grpc/grpc-js against the real service, on each transport; skipped only where there is no node."""

import json
import subprocess

from tests.conformance.test_grpc_js import HERE, RUN_S, node
from tests.system.plant import ROOT

__all__ = ["node"]


def test_a_front_end_in_javascript(node, shared_gateway):
    proto = ROOT / "proto" / "tidegate" / "v1" / "order_entry.proto"
    run = subprocess.run(
        [node, "order_entry.js", shared_gateway.address, str(proto), "alpha", "A1", shared_gateway.symbols["XSHG"][0]],
        cwd=HERE,
        capture_output=True,
        timeout=RUN_S,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    name, planned = "js-订单-1", "1234567890123456789"
    assert json.loads(run.stdout) == {
        "code": 0,
        "kinds": ["logon_ack", "execution_report", "execution_report", "execution_report"],
        "reports": [
            ["1", "PENDING_NEW", "STATUS_PENDING_NEW", name, "100", planned],
            ["2", "NEW", "STATUS_NEW", name, "100", planned],
            ["3", "CANCELED", "STATUS_CANCELED", name, "0", planned],
        ],
        "found": ["STATUS_CANCELED", name],
        "submitted": ["REJECTED", "R1105"],
        "refused": 16,
    }
