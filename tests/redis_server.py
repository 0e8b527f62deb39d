"""A real redis-server for tests, on a free port of loopback and in a folder of its own. Ends only what it started.

    with RedisServer(tmp_path / "redis") as redis:                # appendonly=False: nothing survives a kill
        redis.url, redis.port, redis.client()
        redis.kill(); redis.start()                               # kill -9, then the same port and folder
        redis.kill(); redis.wipe(); redis.start()                 # it lost everything
        old = redis.copied(); ...; redis.kill(); redis.put_back(old); redis.start()   # it forgot its last moments
        redis.pause(); redis.resume()                             # SIGSTOP, SIGCONT: it hangs
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_S = 10.0
STOP_S = 5.0


class RedisServer:
    """folder: its directory, made when missing; appendonly: whether it writes down what it is told, command by command.

    options: further ones, by name: maxmemory="2mb".
    """

    def __init__(self, folder: Path, *, appendonly: bool = True, **options: str) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
        self.folder = folder
        self.appendonly = appendonly
        self.options = options
        self.port = free_port()
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> "RedisServer":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> "RedisServer":
        """Start it, and wait until it has read its folder and answers."""
        assert self.running is None, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        flags = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": "always",
            "logfile": str(self.folder / "redis.log"),
            **self.options,
        }
        words = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", value)]
        self.running = subprocess.Popen(
            ["redis-server", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert self.running.poll() is None, f"redis-server ended: {(self.folder / 'redis.log').read_text()[-500:]}"
            assert time.monotonic() < deadline, f"redis-server did not answer in {START_S:g} s"
            time.sleep(0.01)
        return self

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self, **choices: Any) -> Any:
        """A blocking client that tries once."""
        return redis.Redis(port=self.port, **{"socket_timeout": 5.0, "retry": Retry(NoBackoff(), 0)} | choices)

    def kill(self) -> None:
        """kill -9, and wait until it is gone; nothing when it does not run."""
        self.end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM: it writes down what it has to, and ends."""
        self.end(signal.SIGTERM)

    def end(self, number: int) -> None:
        if self.running is None:
            return
        self.running.send_signal(signal.SIGCONT)
        self.running.send_signal(number)
        try:
            self.running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait(STOP_S)
        self.running = None

    def pause(self) -> None:
        assert self.running is not None
        self.running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.running is not None
        self.running.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Forget everything; while it is ended."""
        assert self.running is None, "end it first"
        shutil.rmtree(self.folder)

    def copied(self) -> Path:
        """What is in its folder now, for put_back."""
        copy = self.folder.with_name(f"{self.folder.name}-{time.monotonic_ns()}")
        shutil.copytree(self.folder, copy)
        return copy

    def put_back(self, copy: Path) -> None:
        """Its folder as it was copied; while it is ended."""
        self.wipe()
        shutil.copytree(copy, self.folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port

