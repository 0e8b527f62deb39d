"""@grpc/grpc-js against every transport; skipped only where there is no node."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.transport import Tls
from tests.conformance.harness import RunningServer

HERE = Path(__file__).parent / "node"
RUN_S = 60


@pytest.fixture(scope="module")
def node() -> str:
    """The node executable, with the locked packages installed beside client.js."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        pytest.skip("node and npm are not installed: the @grpc/grpc-js client cannot run")
    lock = HERE / "package-lock.json"
    installed = HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=HERE, check=True, capture_output=True, timeout=RUN_S)
    return found


def check_client(node: str, *arguments: str) -> None:
    run = subprocess.run(
        [node, "client.js", *arguments], cwd=HERE, capture_output=True, timeout=RUN_S, check=False, text=True
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    many = [f"message {i}" for i in range(500)]
    assert seen == {
        "echo": {"code": 0, "text": "hello"},
        "large": 1_000_000,
        "parallel": many[:50],
        "fail": {"code": 5, "details": "没有 100%"},
        "crash": 13,
        "unknown": 12,
        "text": "'Bearer t'",
        "binary": r"b'\x00\xff'",
        "late": 4,
        "stream": {"code": 0, "details": seen["stream"]["details"], "received": many},
        "ended": {"code": 9, "details": "no", "received": ["a"]},
        "cancelled": 1,
        "after": {"code": 0, "text": "still here"},
    }


def test_grpc_js(node: str, server: RunningServer) -> None:
    check_client(node, server.address)


def test_grpc_js_over_tls(node: str, transport: str, start: Callable[..., RunningServer], tls: Tls) -> None:
    server = start(transport, tls=tls)
    check_client(node, f"localhost:{server.port}", tls.certificate)
